# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
# What the scripts beside this one share; source it. Each runs one form of deployment from end to end
# and ends in "PASS DIGEST": the digest of a job trained so, equal to that of one process.
set -euo pipefail

# The programs: build/bin unless HATCHERY_BIN says otherwise.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(cd "$here/../../.." && pwd)
bin=$(cd "${HATCHERY_BIN:-$source/build/bin}" && pwd)

work=$(mktemp -d "${TMPDIR:-/tmp}/hatchery-form.XXXXXX")
cleanups=()
finish() {
  local i
  for ((i = ${#cleanups[@]} - 1; i >= 0; --i)); do eval "${cleanups[i]}" || true; done
  rm -rf "$work"
}
trap finish EXIT
at_end() { cleanups+=("$*"); } # in reverse order

say() { printf '== %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $deadline ] || fail "waited in vain for $what"
    sleep 0.3
  done
}

# started NAME COMMAND...: in the background, ended at the end at the latest; its log is
# $work/NAME.log, its process $started.
started() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 &
  started=$!
  at_end "kill $started 2>/dev/null; wait $started 2>/dev/null"
}

# The job of all forms: some seconds in one process. $steps of them, if set.
make_job() {
  "$bin/hatchery" data count --vocab 16 --tokens 200000 --out "$work/count.bin" >/dev/null
  job=("$source/examples/count.yaml" --data "$work/count.bin" --set "steps=${steps:-40}"
       --set checkpoint_every=20)
}

# The digest of the weights in a run's directory.
digest_of() { "$bin/hatchery" digest "$1" | cut -d' ' -f1; }

one_process() {
  "$bin/hatchery" train "${job[@]}" --out "$work/one" >/dev/null 2>&1 || fail "training in one process"
  expected=$(digest_of "$work/one")
  say "one process: $expected"
}

# pass RUN: its digest is that of one process, and its journal proves it.
pass() {
  local got
  got=$(digest_of "$1")
  [ "$got" = "$expected" ] || fail "digest $got, in one process $expected"
  "$bin/hatchery" replay "$1" --verify >/dev/null || fail "the journal does not lead to the weights"
  echo "PASS $got"
}

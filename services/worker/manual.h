// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "services/common/self_description.h"

namespace hatchery::worker {

// What hatchery-worker.1 says besides the options.
inline Manual TheManual() {
  Manual manual;
  manual.description =
      R"(Evaluates shards of the population for a coordinator, on all GPUs that it sees or else on the
processor. Start and stop workers at any time: no step is lost, and the final bytes are the same. A
worker needs no copy of the data: it fetches it once, by its SHA-256, and keeps it.

Started by mpirun or srun, the ranks act as one worker. SIGINT and SIGTERM end it cleanly.)";
  manual.sections = {
      {"LOGS",
       R"(One line an event on stderr, as hatchery-coordinator writes them: time (UTC), level, event, then
job=, step= and worker= where the event has them, then a text for people; or with --log-format json
one object a line.)"},
      {"FILES",
       "Fetched data is kept in --cache-dir: $XDG_CACHE_HOME/hatchery or ~/.cache/hatchery unless "
       "given."},
      {"EXIT STATUS",
       R"(0 after SIGINT or SIGTERM, 1 if it cannot start, if the coordinator refuses it, or if none answers
for --retry-seconds.)"},
      {"EXAMPLES",
       R"(  hatchery-worker --coordinator head:7070 --tls-ca ca.pem --token-file worker.token
  mpirun -np 2 hatchery-worker --coordinator 127.0.0.1:7070)"},
      {"SEE ALSO", "hatchery(1), hatchery-coordinator(1)"}};
  return manual;
}

}  // namespace hatchery::worker

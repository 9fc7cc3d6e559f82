// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/replay.h"

#include <algorithm>
#include <string>

namespace hatchery {
namespace {

// Compares the replica with what the journal says of its step.
Status CompareDigest(const JournalReader& journal, Replica& replica, core::Digest expected,
                     const ReplayOptions& options) {
  HATCHERY_ASSIGN_OR_RETURN(const core::Digest actual, replica.DigestOfAll());
  if (!(actual == expected))
    return DataLoss("the replica at step " + std::to_string(replica.step()) + " has digest " +
                    FormatDigest(actual) + ", but " + journal.path() + " says " +
                    FormatDigest(expected));
  return options.on_digest ? options.on_digest(replica.step(), actual) : Status();
}

// The replica at the step to start from, compared with the journal where that is step 0.
Status Start(const JournalReader& journal, Replica& replica, const ReplayOptions& options) {
  if (options.start != nullptr)
    HATCHERY_RETURN_IF_ERROR(replica.Restore(options.start->step, options.start->weights));
  if (replica.step() != 0) return {};
  return CompareDigest(journal, replica, journal.header().initial_digest, options);
}

}  // namespace

StatusOr<ReplayResult> Replay(JournalReader& journal, Replica& replica,
                              const ReplayOptions& options) {
  HATCHERY_RETURN_IF_ERROR(Start(journal, replica, options));
  ReplayResult result;
  JournalRecord record;
  while (replica.step() < options.until_step || journal.next_step() < replica.step()) {
    if (options.stop.stop_requested())
      return Cancelled("stopped at step " + std::to_string(replica.step()) + " of the replay");
    HATCHERY_ASSIGN_OR_RETURN(const auto outcome, journal.Next(record));
    result.torn_tail = outcome == JournalReader::Outcome::kTornTail;
    if (outcome != JournalReader::Outcome::kRecord) break;
    if (const auto* commit = std::get_if<CommitRecord>(&record)) {
      // Earlier ones are in the checkpoint already.
      if (commit->commit.step < replica.step()) continue;
      HATCHERY_RETURN_IF_ERROR(CompareDigest(journal, replica, commit->digest_before, options));
      if (options.before_commit) HATCHERY_RETURN_IF_ERROR(options.before_commit(*commit));
      HATCHERY_RETURN_IF_ERROR(replica.Apply(commit->commit));
      ++result.compared;
    } else if (const auto* closing = std::get_if<ClosingRecord>(&record)) {
      HATCHERY_RETURN_IF_ERROR(CompareDigest(journal, replica, closing->digest, options));
      ++result.compared;
      result.closing = *closing;
    }
  }
  if (journal.next_step() < replica.step())
    return InvalidArgument("the checkpoint of step " + std::to_string(replica.step()) +
                           " lies beyond " + journal.path() + ", which ends at step " +
                           std::to_string(journal.next_step()));
  if (options.until_step != UINT32_MAX && replica.step() < options.until_step)
    return InvalidArgument(journal.path() + " ends at step " + std::to_string(replica.step()) +
                           "; there is no step " + std::to_string(options.until_step));
  result.step = replica.step();
  HATCHERY_ASSIGN_OR_RETURN(result.digest, replica.DigestOfAll());
  return result;
}

Status VisitCommits(JournalReader& journal, uint32_t end,
                    const std::function<Status(const CommitRecord&)>& visit) {
  JournalRecord record;
  while (journal.next_step() < end) {
    HATCHERY_ASSIGN_OR_RETURN(const auto outcome, journal.Next(record));
    if (outcome != JournalReader::Outcome::kRecord)
      return DataLoss(journal.path() + " ends before step " + std::to_string(end));
    if (const auto* commit = std::get_if<CommitRecord>(&record))
      HATCHERY_RETURN_IF_ERROR(visit(*commit));
  }
  return {};
}

Status RestoreInitial(Disk& disk, const RunDir& run, const v1::Job& job, Replica& replica) {
  if (job.initial_digest().empty())
    return replica.Restore(0, InitialWeights(replica.model(), replica.spec().seed));
  if (!disk.Exists(run.initial_path()))
    return NotFound(run.initial_path() +
                    " is missing, which held the weights that the run starts from; copy the file "
                    "that was given to --init-from there");
  HATCHERY_ASSIGN_OR_RETURN(const Checkpoint initial, ReadCheckpoint(disk, run.initial_path()));
  if (FormatDigest(initial.digest) != job.initial_digest() ||
      initial.weights.size() != replica.model().bytes())
    return DataLoss(run.initial_path() + " does not hold the weights that the job starts from");
  return replica.Restore(0, initial.weights);
}

uint32_t NonzeroPairs(const Commit& commit, uint32_t pairs) {
  const auto fitness = DecodeFitness(commit.encoding, commit.fitness, pairs);
  return static_cast<uint32_t>(
      std::count_if(fitness.begin(), fitness.end(), [](int8_t f) { return f != 0; }));
}

}  // namespace hatchery

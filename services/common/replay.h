// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Rebuilding weights from a journal alone: no data, no forward pass.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>

#include "kernels/replica.h"
#include "kernels/status.h"
#include "services/common/checkpoint.h"
#include "services/common/journal.h"
#include "services/common/run_dir.h"

namespace hatchery {

struct ReplayOptions {
  uint32_t until_step = UINT32_MAX;  // stop when the replica is at this step
  // The checkpoint to start from, of this journal's job; null: the weights of step 0, which the
  // replica must hold (a fresh one does, unless the job starts from given weights).
  const Checkpoint* start = nullptr;
  // Called before each commit is applied, the replica being at its step; may be empty.
  std::function<Status(const CommitRecord&)> before_commit;
  // Called with every digest that agreed with the journal's; may be empty. An error ends the
  // replay.
  std::function<Status(uint32_t step, core::Digest digest)> on_digest;
  std::stop_token stop = {};  // asked between two commits
};

struct ReplayResult {
  uint32_t step = 0;
  core::Digest digest;
  uint64_t compared = 0;  // digests that were compared with the journal's
  bool torn_tail = false;
  std::optional<ClosingRecord> closing;  // if it was reached
};

// Brings `replica` to the journal's last step, or options.until_step, comparing every digest on the
// way. kDataLoss names the step at which a digest differs; kInvalidArgument if until_step lies
// beyond the journal; kCancelled if options.stop was requested first.
StatusOr<ReplayResult> Replay(JournalReader& journal, Replica& replica,
                              const ReplayOptions& options = {});

// Calls `visit` with each commit before step `end`, in order, from the first. kDataLoss if the
// journal has fewer; an error of `visit` ends it.
Status VisitCommits(JournalReader& journal, uint32_t end,
                    const std::function<Status(const CommitRecord&)>& visit);

// Brings a fresh replica to the weights of step 0: the seed's, or, if the job starts from given
// weights, those of DIR/initial.safetensors, whose digest must be the job's.
Status RestoreInitial(Disk& disk, const RunDir& run, const v1::Job& job, Replica& replica);

// Pairs whose fitness is not 0, of `pairs`.
uint32_t NonzeroPairs(const Commit& commit, uint32_t pairs);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "services/coordinator/core.h"
#include "services/coordinator/job_store.h"

namespace hatchery::coordinator {

// A job that the store or the catalogue knows.
struct FoundJob {
  std::string id;
  const v1::JobState* known = nullptr;  // the catalogue's; null if it does not know the job
};
// In the order of their submission. `known` must outlive the answer.
StatusOr<std::vector<FoundJob>> FindJobs(const JobStore& store,
                                         const std::vector<v1::JobState>& known);

struct RecoveredJob {
  JobRecord record;
  std::vector<v1::JobUpdate> updates;  // one a commit
  uint64_t torn_bytes = 0;             // cut off the journal's end: a write that a crash broke off
};

// A stored job as its journal tells it; state, reason, priority and time are the catalogue's
// (`known`, null if it does not know the job). Where the two contradict each other, or the journal
// is damaged or gone, the job is paused with the reason; one that was over may have lost its files.
// An error if it cannot even be paused.
StatusOr<RecoveredJob> RecoverJob(JobStore& store, const std::string& id,
                                  const v1::JobState* known);

}  // namespace hatchery::coordinator

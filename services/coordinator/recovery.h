// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "services/coordinator/core.h"
#include "services/coordinator/job_store.h"

namespace hatchery::coordinator {

struct RecoveredJob {
  JobRecord record;
  std::vector<v1::JobUpdate> updates;  // one a commit
  uint64_t torn_bytes = 0;             // cut off the journal's end: a write that a crash broke off
};

// A stored job as its journal tells it; state, reason, priority and time are the catalogue's
// (`known`, null if it does not know the job). Where the two contradict each other, or the journal
// is damaged, the job is paused with the reason. An error if it cannot even be paused.
StatusOr<RecoveredJob> RecoverJob(JobStore& store, const std::string& id,
                                  const v1::JobState* known);

}  // namespace hatchery::coordinator

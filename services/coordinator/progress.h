// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hatchery/v1/coordinator.pb.h"
#include "services/common/journal.h"

namespace hatchery::coordinator {

// What a commit tells about a job's progress. `previous` carries the newest held-out measure on.
v1::JobUpdate UpdateOf(const CommitRecord& record, const v1::Job& job,
                       const v1::JobUpdate& previous);
// The same for the end of the run.
void AddClosing(const ClosingRecord& record, v1::JobUpdate& update);

}  // namespace hatchery::coordinator

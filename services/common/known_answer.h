// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stop_token>
#include <string_view>

#include "hatchery/v1/job.pb.h"
#include "kernels/core/digest.h"
#include "kernels/status.h"
#include "services/common/backend.h"

namespace hatchery {

// Trains `task` from its initial weights for all its steps, in this process alone, on the bytes
// [train.begin, train.end) of `data` (all of it if that range is empty). The digest tells whether
// this backend on this machine computes what every other one does.
StatusOr<core::Digest> TrainKnownAnswer(const v1::Job& task, std::string_view data,
                                        const ReplicaFactory& create, std::stop_token stop);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "services/client/online.h"

namespace hatchery {

struct JobFeed {
  // A step that was committed, or a state that changed; each once, in order.
  std::function<void(const v1::JobUpdate&)> on_update;
  // For people: the coordinator went away, or is back.
  std::function<void(const std::string&)> on_note;
};

StatusOr<v1::JobState> GetJob(Online& online, const std::string& job_id, std::stop_token stop = {});

// Follows a job until it is over, through outages of the coordinator; `seen`: commits whose updates
// are not wanted. Returns the job as it ended; kCancelled after a stop request.
StatusOr<v1::JobState> FollowJob(Online& online, const std::string& job_id, uint32_t seen,
                                 const JobFeed& feed, const std::stop_token& stop);

}  // namespace hatchery

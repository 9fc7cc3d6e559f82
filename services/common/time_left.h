// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"

namespace hatchery {

// Seconds until the job's last step at the speed of the newest of `updates`; none if it is over,
// does not run, or its speed is not known.
std::optional<double> SecondsLeft(const v1::JobState& job,
                                  const std::vector<v1::JobUpdate>& updates);

}  // namespace hatchery

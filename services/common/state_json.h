// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a coordinator tells of jobs, workers and events, as JSON: for `hatchery --json` and the
// page.
#pragma once

#include <string>

#include "hatchery/v1/coordinator.pb.h"

namespace hatchery {

// "running", "paused", ...
std::string StateName(v1::JobState::State state);

// One line of JSON each.
std::string ToJson(const v1::JobState& job);
std::string ToJson(const v1::JobUpdate& update);
std::string ToJson(const v1::WorkerState& worker);
std::string ToJson(const v1::Event& event);

}  // namespace hatchery

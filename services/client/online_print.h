// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a coordinator tells, as text and as JSON.
#pragma once

#include <string>

#include "hatchery/v1/coordinator.pb.h"

namespace hatchery {

// "running", "paused", ...
std::string StateName(v1::JobState::State state);
// "2026-01-31 12:00:00", UTC.
std::string FormatTime(int64_t unix_seconds);
// "1h02m", "3m20s", "12s".
std::string FormatDuration(double seconds);
// "950", "12.3 k", "4.56 M".
std::string FormatRate(double value);
// "3.106", or "-" where nothing was measured yet.
std::string FormatBitsPerByte(double value);

// One line of JSON each.
std::string ToJson(const v1::JobState& job);
std::string ToJson(const v1::JobUpdate& update);
std::string ToJson(const v1::WorkerState& worker);
std::string ToJson(const v1::Event& event);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A journal's events from which a reader learns when a step was reached, and how fast.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace hatchery {

inline constexpr char kStartedEvent[] = "started";  // training begins
inline constexpr char kResumedEvent[] = "resumed";  // training goes on after a stop
inline constexpr char kTimeEvent[] = "time";        // training got to this step by now

// The wall clock of events.
inline int64_t UnixMilliseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// Between two notes of the time, of training that has gone on for so long: fine enough for a curve
// of the throughput, and few however long the run is.
inline std::chrono::milliseconds TimeBetweenMarks(std::chrono::milliseconds since_start) {
  return std::max(std::chrono::milliseconds(1000), since_start / 1000);
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Kinds of a journal's events from which a reader learns when a step was reached, and how fast.
#pragma once

namespace hatchery {

inline constexpr char kStartedEvent[] = "started";  // training begins
inline constexpr char kResumedEvent[] = "resumed";  // training goes on after a stop
inline constexpr char kTimeEvent[] = "time";        // training got to this step by now

}  // namespace hatchery

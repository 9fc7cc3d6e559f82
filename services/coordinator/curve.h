// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"

namespace hatchery::coordinator {

// A job's updates as they are drawn, a step at most once, in order.
struct Curve {
  uint32_t stride = 1;
  std::vector<v1::JobUpdate> updates;
};

// Of `all`, whose steps never fall, those of steps in (from, to]; if these are more than `most` (at
// least 1), only the multiples of `stride`, the least power of two that does, and the newest. Of
// several with one step the last one counts: the end of a job is told by a second one. Takes time
// for what it returns, not for all there is.
Curve CurveOf(std::span<const v1::JobUpdate> all, uint32_t from, uint32_t to, uint32_t most);

}  // namespace hatchery::coordinator

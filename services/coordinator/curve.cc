// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/curve.h"

#include <algorithm>

namespace hatchery::coordinator {

Curve CurveOf(std::span<const v1::JobUpdate> all, uint32_t from, uint32_t to, uint32_t most) {
  Curve curve;
  if (all.empty()) return curve;
  to = std::min(to, all.back().step());
  if (from >= to) return curve;
  while ((to - from) / curve.stride > most) curve.stride *= 2;
  const auto add = [&](uint64_t step) {
    const auto past = std::upper_bound(
        all.begin(), all.end(), step,
        [](uint64_t value, const v1::JobUpdate& update) { return value < update.step(); });
    if (past != all.begin() && std::prev(past)->step() == step)
      curve.updates.push_back(*std::prev(past));
  };
  const uint64_t stride = curve.stride;
  for (uint64_t step = (from / stride + 1) * stride; step < to; step += stride) add(step);
  add(to);
  return curve;
}

}  // namespace hatchery::coordinator

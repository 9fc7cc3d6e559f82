// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/core/platform.h"

namespace hatchery::cuda {

// Division by a norm's divisor m in [1, 128]: floor(n / m) saturated is the top byte of
// clamp(n) * reciprocal + kNormRounding. Proved for every n and m by tests/gpu/division_test.cc.
struct NormDivision {
  int32_t low, high, reciprocal;
};
inline constexpr int32_t kNormRounding = 1 << 14;
HATCHERY_HD inline NormDivision DivisionBy(int32_t m) {
  return {-128 * m, 128 * m - 1, ((1 << 24) + m - 1) / m};
}
HATCHERY_HD inline int32_t DivideTop(int32_t n, NormDivision d) {
  const int32_t raised = n < d.low ? d.low : n;
  const int32_t clamped = raised > d.high ? d.high : raised;
  return clamped * d.reciprocal + kNormRounding;
}

}  // namespace hatchery::cuda

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// floor(n / m), saturated to int8, without a division: what norms and products end with. Proved for
// every divisor by tests/metal/exactness_test.cc.
#pragma once

#include "kernels/core/platform.h"

namespace hatchery::apple {

// The largest divisor: that of a product of core::kMaxInputs columns.
HATCHERY_CONSTANT int32_t kMaxDivisor = 2896;

struct Division {
  int32_t bound;        // 128 m
  uint32_t reciprocal;  // ceil(2^31 / m)
};

HATCHERY_HD constexpr Division DivisionBy(int32_t m) {
  return Division{128 * m, ((1u << 31) + static_cast<uint32_t>(m) - 1) / static_cast<uint32_t>(m)};
}

// n, raised by 128 m, lies in [0, 256 m) after clamping; the quotient is exact since
// 256 m * m < 2^31.
HATCHERY_HD constexpr int32_t DivideSaturated(int32_t n, Division d) {
  const int32_t low = n < -d.bound ? -d.bound : n;
  const int32_t clamped = low > d.bound - 1 ? d.bound - 1 : low;
  const uint32_t raised = static_cast<uint32_t>(clamped + d.bound) * 2;
  return static_cast<int32_t>(uint64_t{raised} * d.reciprocal >> 32) - 128;
}

}  // namespace hatchery::apple

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/core/arithmetic.h"

namespace hatchery::cuda {

// Division by a product's divisor d = MatmulDivisor(n), in [16, 2896]. With M = ceil(2^32 / d) and
// e = M d - 2^32 < d, v M / 2^32 exceeds v / d by v e / (d 2^32), which is less than 1 / d as long
// as v e < 2^32; and v < 256 d. Tested by tests/gpu/division_test.cc.
struct MatmulDivision {
  int32_t raise, top;  // 128 d, 256 d - 1
  uint32_t reciprocal;
};
HATCHERY_HD inline MatmulDivision MatmulDivisionBy(int32_t d) {
  const uint64_t divisor = static_cast<uint64_t>(d);
  return {128 * d, 256 * d - 1,
          static_cast<uint32_t>(((uint64_t{1} << 32) + divisor - 1) / divisor)};
}

// MatmulOutput(sum, d) + 128, in [0, 255]; `sum` + 128 d must not overflow.
template <typename Sum>
HATCHERY_HD inline uint32_t DivideRaised(Sum sum, MatmulDivision d) {
  const Sum raised = sum + d.raise;
  const Sum below = raised > d.top ? Sum{d.top} : raised;
  const uint32_t v = below < 0 ? 0u : static_cast<uint32_t>(below);
  return static_cast<uint32_t>((uint64_t{v} * d.reciprocal) >> 32);
}

}  // namespace hatchery::cuda

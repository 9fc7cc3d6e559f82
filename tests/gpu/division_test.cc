// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The fused kernel's division, over its whole range. Needs no GPU.
#include "kernels/cuda/division.h"

#include <gtest/gtest.h>

#include "kernels/core/arithmetic.h"

namespace hatchery {
namespace {

TEST(NormDivision, EqualsTheContractEverywhere) {
  for (int32_t m = 1; m <= 128; ++m) {
    const int32_t reciprocal = cuda::ReciprocalOf(m);
    for (int32_t n = -128 * 127; n <= 128 * 127; ++n)
      ASSERT_EQ(cuda::Divide(256 * n + cuda::kDivideRounding, reciprocal), core::FloorDiv(n, m))
          << n << " / " << m;
  }
}

}  // namespace
}  // namespace hatchery

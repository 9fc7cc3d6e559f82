// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The fused kernels' divisions, over their whole ranges. Need no GPU.
#include "kernels/cuda/division.h"

#include <gtest/gtest.h>

#include "kernels/core/arithmetic.h"
#include "kernels/cuda/matmul_division.h"

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

TEST(MatmulDivision, EqualsTheContractEverywhere) {
  for (uint32_t inputs : {32u, 64u, 96u, 128u, 160u, 256u, 384u, 512u, 640u, 896u, 1024u, 1792u,
                          2048u, 7168u, 32768u}) {
    const int32_t d = core::MatmulDivisor(inputs);
    const cuda::MatmulDivision division = cuda::MatmulDivisionBy(d);
    for (int32_t sum = -130 * d; sum <= 130 * d; ++sum)
      ASSERT_EQ(static_cast<int32_t>(cuda::DivideRaised(sum, division)) - 128,
                core::MatmulOutput(sum, d))
          << sum << " / " << d;
    for (int64_t sum : {int64_t{-1} << 40, int64_t{1} << 40})
      ASSERT_EQ(static_cast<int32_t>(cuda::DivideRaised(sum, division)) - 128,
                core::MatmulOutput(sum, d));
  }
}

}  // namespace
}  // namespace hatchery

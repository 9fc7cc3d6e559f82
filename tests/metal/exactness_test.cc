// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What the kernels compute in other ways than the contract's words, proved equal to them.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "kernels/core/arithmetic.h"
#include "kernels/core/egg.h"
#include "metal/kernels/division.h"
#include "metal/layout.h"

namespace hatchery {
namespace {

static_assert(apple::kMaxDivisor == core::MatmulDivisor(core::kMaxInputs));

// A quotient changes only where n passes a multiple of m, so both sides of every one are all there
// is to try; what lies beyond saturates.
TEST(MetalExactness, DivisionEqualsFloorForEveryDivisor) {
  for (int32_t m = 1; m <= apple::kMaxDivisor; ++m) {
    const apple::Division division = apple::DivisionBy(m);
    for (int32_t q = -130; q <= 130; ++q)
      for (const int32_t n : {q * m, q * m - 1, q * m + m - 1})
        ASSERT_EQ(apple::DivideSaturated(n, division), core::Saturate(core::FloorDiv(n, m)))
            << n << " / " << m;
    for (const int32_t n : {INT32_MIN, INT32_MIN + 1, INT32_MAX, 128 * 127 * 32768})
      ASSERT_EQ(apple::DivideSaturated(n, division), core::Saturate(core::FloorDiv(n, m)));
  }
}

// Every float32 sum of whole numbers is exact while no partial sum exceeds 2^24, whatever its
// order: a float has 24 bits of significand. The largest product is -128 x -127 (weights reach
// 127 in magnitude, activations 128).
TEST(MetalExactness, FloatsAddExtremeProductsExactlyUpTo1024Columns) {
  for (const float weight : {127.0f, -127.0f}) {
    float sum = 0;
    int32_t exact = 0;
    for (uint32_t k = 0; k < apple::kExactColumns; ++k) {
      sum += -128.0f * weight;
      exact += -128 * static_cast<int32_t>(weight);
      ASSERT_EQ(static_cast<int32_t>(sum), exact);
      // That one more unit would be seen: no number near is skipped.
      ASSERT_NE(sum + 1, sum);
      ASSERT_NE(sum - 1, sum);
    }
    EXPECT_EQ(exact, weight > 0 ? -16646144 : 16646144);
  }
}

// And that the bound is not generous by much: twice the columns fail.
TEST(MetalExactness, FloatsDoNotAddTwiceAsMany) {
  float sum = 0;
  int32_t exact = 0;
  for (uint32_t k = 0; k < 2 * apple::kExactColumns; ++k) {
    const int32_t product = k % 2 == 0 ? 128 * 127 : 127 * 127;
    sum += static_cast<float>(product);
    exact += product;
  }
  EXPECT_NE(static_cast<int32_t>(sum), exact);
}

// Half precision accumulators would lose counts above 2^11 already; 128 x 127 is eight times that.
TEST(MetalExactness, PairsOfAnUpdateAddExactly) {
  float sum = 0;
  for (uint32_t pair = 0; pair < apple::kExactPairs; ++pair) sum += 127.0f * 46 * 46;
  EXPECT_EQ(static_cast<int32_t>(sum), 127 * 46 * 46 * int32_t{apple::kExactPairs});
  int32_t largest = 0;
  for (uint32_t i = 0; i < 256; ++i)
    largest = std::max(largest, std::abs(int32_t{core::NormalTable(i)}));
  EXPECT_EQ(largest, 46);
}

TEST(MetalExactness, OffsetsFollowTheContractsOrder) {
  apple::Shape shape{};
  shape.padded = 64;
  shape.padded_wide = 192;
  shape.layers = 2;
  shape.rank = 3;
  uint64_t weights = 256 * 64;
  uint32_t noise = 0;
  for (uint32_t layer = 0; layer < 2; ++layer) {
    for (uint32_t p = 0; p < apple::kPlaces; ++p) {
      const auto place = static_cast<apple::Place>(p);
      EXPECT_EQ(shape.WeightsOf(layer, place), weights);
      EXPECT_EQ(shape.NoiseOf(layer, place), noise);
      const bool vector =
          p == apple::kNorm1 || p == apple::kBf || p == apple::kBh || p == apple::kNorm2;
      const uint32_t rows = p == apple::kW1 ? 192 : 64, columns = p == apple::kW2 ? 192 : 64;
      weights += vector ? 64 : uint64_t{rows} * columns;
      noise += vector ? 64 : 3 * (rows + columns);
    }
  }
  EXPECT_EQ(shape.NormOutWeights(), weights);
  EXPECT_EQ(shape.Weights(), weights + 64 + 256 * 64);
  EXPECT_EQ(shape.Noise(), noise + 64 + 3 * (256 + 64));
}

}  // namespace
}  // namespace hatchery

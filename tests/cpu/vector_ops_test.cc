// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Vector code against the scalar contract, on every instruction set of this processor: the
// divisions and gates over their whole ranges.
#include "cpu_fallback/vector_ops.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <vector>

#include "cpu_fallback/product.h"
#include "kernels/core/egg.h"
#include "tests/cpu/each_target.h"

namespace hatchery {
namespace {

using Row = std::vector<int8_t>;

// Every divisor that a supported row can have; around every quotient that does not saturate, where
// a wrong rounding would show, and beyond.
TEST(VectorOps, MatmulDividesExactly) {
  ForEachTarget([] {
    for (int32_t root = 1; root <= 181; ++root) {
      const int32_t divisor = 16 * root;
      std::vector<int32_t> sums;
      for (int32_t q = -131; q <= 131; ++q)
        for (int32_t near = -2; near <= 2; ++near) sums.push_back(q * divisor + near);
      for (int32_t v = -132 * divisor; v <= 132 * divisor; v += root) sums.push_back(v);
      for (int32_t v : {-(1 << 30), 1 << 30, INT32_MIN, INT32_MAX}) sums.push_back(v);
      const size_t n = sums.size();
      sums.resize(Padded(n));
      Row out(Padded(n), 1);
      vector_ops::Finish(sums.data(), vector_ops::Divider(divisor), n, out.data());
      for (size_t i = 0; i < n; ++i)
        ASSERT_EQ(out[i], core::MatmulOutput(sums[i], divisor)) << sums[i] << " / " << divisor;
      for (size_t i = n; i < out.size(); ++i) ASSERT_EQ(out[i], 0);
    }
  });
}

// Every (x, gain, divisor): a long row whose tail sets the mean.
TEST(VectorOps, NormDividesExactly) {
  ForEachTarget([] {
    const size_t n = 256 * 64;
    Row x(n), gain(n), out(n);
    for (int32_t mean = 0; mean <= 128; ++mean) {
      for (size_t i = 0; i < n; ++i)
        x[i] = static_cast<int8_t>(i < 256 ? static_cast<int>(i) - 128 : -mean);
      int32_t sum = 0;
      for (const int8_t v : x) sum += v < 0 ? -v : v;
      const int32_t divisor = core::NormDivisor(sum, n);
      for (int32_t w = -127; w <= 127; ++w) {
        std::fill(gain.begin(), gain.end(), static_cast<int8_t>(w));
        vector_ops::Norm(x.data(), gain.data(), n, out.data());
        for (size_t i = 0; i < 320; ++i)
          ASSERT_EQ(out[i], core::NormOutput(x[i], w, divisor)) << int{x[i]} << " * " << w;
      }
    }
  });
}

TEST(VectorOps, GatesEqualTheContractForEveryInput) {
  ForEachTarget([] {
    const size_t n = 256;
    Row all(n), f(n), h(n), out(n);
    for (size_t i = 0; i < n; ++i) all[i] = static_cast<int8_t>(i);
    for (int32_t state = -128; state <= 127; ++state) {
      std::fill(h.begin(), h.end(), static_cast<int8_t>(state));
      vector_ops::GatedState(all.data(), h.data(), n, out.data());
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], core::GatedState(all[i], state));
      vector_ops::Residual(all.data(), h.data(), n, out.data());
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], core::Residual(all[i], state));
      for (int32_t gate = -128; gate <= 127; ++gate) {
        std::fill(f.begin(), f.end(), static_cast<int8_t>(gate));
        Row next = h;
        vector_ops::NextState(f.data(), all.data(), n, next.data());
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(next[i], core::NextState(gate, all[i], state));
        const Row bias(n, static_cast<int8_t>(gate));
        vector_ops::GateSum(all.data(), h.data(), bias.data(), n, out.data());
        for (size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], core::GateSum(all[i], state, gate));
      }
    }
  });
}

TEST(VectorOps, SignedSumsFollowTheBits) {
  ForEachTarget([] {
    std::mt19937 random(3);
    for (const size_t n : {size_t{1}, size_t{33}, size_t{64}, size_t{200}, size_t{1024}}) {
      std::vector<uint8_t> bits(Padded(n) / 8 + 64, 0);
      for (size_t e = 0; e < n; ++e) bits[e / 8] |= static_cast<uint8_t>((random() & 1) << e % 8);
      Row x(Padded(n), 0);
      for (size_t e = 0; e < n; ++e) x[e] = (random() & 3) ? static_cast<int8_t>(random()) : -128;
      std::vector<int32_t> sums(Padded(n));
      for (size_t e = 0; e < n; ++e) sums[e] = static_cast<int32_t>(random() % 100000) - 50000;
      const auto sign = [&](size_t e) { return (bits[e / 8] >> e % 8 & 1) ? -1 : 1; };

      int32_t want = 0, negatives = 0;
      for (size_t e = 0; e < n; ++e) want += sign(e) * x[e];
      for (const uint8_t byte : bits) negatives += std::popcount(byte);
      EXPECT_EQ(vector_ops::SignDot(bits.data(), negatives, x.data(), n), want);

      std::vector<int32_t> added = sums;
      vector_ops::AddSigned(bits.data(), -777, n, added.data());
      Row out(Padded(n));
      vector_ops::FinishSigned(sums.data(), bits.data(), 4321, vector_ops::Divider(16 * 13), n,
                               out.data());
      for (size_t e = 0; e < n; ++e) {
        ASSERT_EQ(added[e], sums[e] - 777 * sign(e));
        ASSERT_EQ(out[e], core::MatmulOutput(sums[e] + 4321 * sign(e), 16 * 13));
      }
    }
    Row values(64), out(64);
    for (int8_t& v : values) v = static_cast<int8_t>(random() % 255 - 127);
    const uint64_t mask = 0x123456789ABCDEF1;
    vector_ops::ExpandSignedValues(mask, values.data(), out.data());
    for (size_t i = 0; i < 64; ++i) EXPECT_EQ(out[i], (mask >> i & 1) ? -values[i] : values[i]);
  });
}

}  // namespace
}  // namespace hatchery

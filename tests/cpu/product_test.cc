// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "cpu_fallback/product.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/cpu/each_target.h"

namespace hatchery {
namespace {

struct Size {
  size_t members, rows, columns;
};

void ExpectExact(Product& product, const Size& s, const std::vector<int8_t>& x,
                 const std::vector<int8_t>& w) {
  const size_t stride = Padded(s.columns), out_stride = Padded(s.rows);
  const auto packed = product.Pack(w.data(), s.rows, s.columns);
  std::vector<int32_t> sums(s.members * out_stride, -1);
  product.Multiply(*packed, x.data(), s.members, sums.data());
  for (size_t m = 0; m < s.members; ++m)
    for (size_t o = 0; o < s.rows; ++o) {
      int32_t want = 0;
      for (size_t k = 0; k < s.columns; ++k) want += x[m * stride + k] * w[o * stride + k];
      ASSERT_EQ(sums[m * out_stride + o], want) << "member " << m << ", output " << o;
    }
}

void CheckProduct(Product& product) {
  std::mt19937 random(1);
  for (const Size s : {Size{1, 1, 1}, {3, 17, 33}, {7, 64, 192}, {29, 256, 256}, {130, 70, 500}}) {
    const size_t stride = Padded(s.columns);
    const auto fill = [&](size_t rows, const std::function<int()>& value) {
      std::vector<int8_t> matrix(rows * stride, 0);
      for (size_t r = 0; r < rows; ++r)
        for (size_t c = 0; c < s.columns; ++c)
          matrix[r * stride + c] = static_cast<int8_t>(value());
      return matrix;
    };
    const auto extreme = [&] { return (random() & 1) ? -128 : 127; };
    const auto any = [&] { return static_cast<int>(random() % 256) - 128; };
    for (const int low : {-128, -127, 127})
      for (const int high : {-128, 127})
        ExpectExact(product, s, fill(s.members, [&] { return low; }),
                    fill(s.rows, [&] { return high; }));
    ExpectExact(product, s, fill(s.members, extreme), fill(s.rows, extreme));
    ExpectExact(product, s, fill(s.members, any), fill(s.rows, any));
  }
}

TEST(Product, PortableIsExactOnEveryInstructionSet) {
  ForEachTarget([] { CheckProduct(*MakePortableProduct()); });
}

TEST(Product, OneDnnIsExactOrRefused) {
  const Status status = CheckProduct(CpuProduct::kOneDnn);
  if (!status.ok()) {
    EXPECT_NE(ChooseProduct(CpuProduct::kAuto), CpuProduct::kOneDnn);
    GTEST_SKIP() << status.message();
  }
  KeepProductsSingleThreaded();
  CheckProduct(*MakeProduct(CpuProduct::kOneDnn));
}

TEST(Product, DotIsExactOrRefused) {
  const Status status = CheckProduct(CpuProduct::kDot);
  if (!status.ok()) GTEST_SKIP() << status.message();
  CheckProduct(*MakeProduct(CpuProduct::kDot));
}

// Leases cut the population anywhere, so one packing must serve every number of members.
TEST(Product, OnePackingServesEveryNumberOfMembers) {
  KeepProductsSingleThreaded();
  std::mt19937 random(5);
  for (const size_t rows : {256, 1024, 40}) {
    const size_t columns = 256;
    std::vector<int8_t> w(rows * columns), x(130 * columns);
    for (int8_t& v : w) v = static_cast<int8_t>(random());
    for (int8_t& v : x) v = static_cast<int8_t>(random());
    const size_t stride = Padded(rows);
    const auto portable = MakePortableProduct();
    std::vector<int32_t> want(130 * stride), sums(130 * stride);
    portable->Multiply(*portable->Pack(w.data(), rows, columns), x.data(), 130, want.data());
    const auto product = MakeProduct(ChooseProduct(CpuProduct::kAuto));
    const auto packed = product->Pack(w.data(), rows, columns);
    for (size_t members = 1; members <= 130; ++members) {
      product->Multiply(*packed, x.data(), members, sums.data());
      for (size_t m = 0; m < members; ++m)
        for (size_t o = 0; o < rows; ++o)
          ASSERT_EQ(sums[m * stride + o], want[m * stride + o]) << members << " members";
    }
  }
}

}  // namespace
}  // namespace hatchery

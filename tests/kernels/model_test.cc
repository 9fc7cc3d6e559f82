// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/model.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace hatchery {
namespace {

TEST(Model, SizesOfTheReferenceShape) {
  const Model model(JobSpec{});  // egg 6 x 256
  EXPECT_EQ(model.tensors().size(), 1 + 6 * 10 + 2);
  EXPECT_EQ(model.parameters(), 4'784'128u + 65'536 + 6 * 4 * 256 + 256);
  EXPECT_EQ(model.bytes(), model.parameters());
}

TEST(Model, TensorsArePaddedToWords) {
  JobSpec spec;
  spec.hidden = 3;
  spec.layers = 1;
  const Model model(spec);
  for (const Tensor& t : model.tensors()) EXPECT_EQ(t.offset % 8, 0u) << t.name;
  EXPECT_GT(model.bytes(), model.parameters());
}

TEST(Model, InitialWeightsFollowTheNormalTable) {
  JobSpec spec;
  spec.hidden = 96;
  spec.layers = 2;
  const Model model(spec);
  const std::vector<int8_t> w = InitialWeights(model, 7);
  const Tensor& head = model.tensor(model.head());
  double sum = 0, squares = 0;
  for (uint64_t e = 0; e < head.elements(); ++e) {
    const double v = w[head.offset + e];
    sum += v;
    squares += v * v;
  }
  const double n = static_cast<double>(head.elements());
  EXPECT_LT(std::abs(sum / n), 0.5);
  EXPECT_NEAR(squares / n, 254.4, 8.0);
  EXPECT_EQ(w[model.tensor(model.layer(1).norm2).offset], 16);
  EXPECT_EQ(w[model.tensor(model.layer(1).bf).offset], 0);
  EXPECT_NE(w, InitialWeights(model, 8));
}

TEST(Model, DigestAddsUpOverSlicesAndSeesEveryByte) {
  JobSpec spec;
  spec.hidden = 40;
  spec.layers = 1;
  const Model model(spec);
  std::vector<int8_t> w = InitialWeights(model, 1);
  const core::Digest whole = DigestOfBytes(w, 0);
  core::Digest sum = DigestOfBytes(std::span(w).first(64), 0);
  sum += DigestOfBytes(std::span(w).subspan(64), 64);
  EXPECT_TRUE(whole == sum);
  for (size_t i = 0; i < w.size(); i += 97) {
    w[i] ^= 1;
    EXPECT_FALSE(DigestOfBytes(w, 0) == whole) << i;
    w[i] ^= 1;
  }
  std::swap(w[0], w[8]);  // the index is part of the mix
  if (w[0] != w[8]) {
    EXPECT_FALSE(DigestOfBytes(w, 0) == whole);
  }
}

TEST(Model, DigestTextRoundTrips) {
  const core::Digest digest{0x0123456789abcdefu, 0xfedcba9876543210u};
  EXPECT_EQ(FormatDigest(digest), "0123456789abcdeffedcba9876543210");
  EXPECT_TRUE(*ParseDigest(FormatDigest(digest)) == digest);
  EXPECT_FALSE(ParseDigest("0123").ok());
  EXPECT_FALSE(ParseDigest("0123456789ABCDEFFEDCBA9876543210").ok());
}

}  // namespace
}  // namespace hatchery

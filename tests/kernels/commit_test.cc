// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/commit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/core/update.h"
#include "kernels/core/window.h"

namespace hatchery {
namespace {

TEST(Commit, SignsSurviveEncoding) {
  const std::vector<int32_t> scores = {5, 3, 3, 5, 4, 4, -1, -2, -7, 0, 1, 0, 0, 1};
  const std::vector<uint8_t> bytes = EncodeSigns(scores);
  ASSERT_EQ(bytes.size(), 2u);
  ASSERT_TRUE(CheckFitness(FitnessEncoding::kTernary, bytes, 7).ok());
  EXPECT_EQ(DecodeFitness(FitnessEncoding::kTernary, bytes, 7),
            (std::vector<int8_t>{1, -1, 0, 1, -1, 1, -1}));
}

TEST(Commit, BadFitnessIsNamed) {
  EXPECT_FALSE(CheckFitness(FitnessEncoding::kTernary, std::vector<uint8_t>{1}, 7).ok());
  EXPECT_FALSE(CheckFitness(FitnessEncoding::kTernary, std::vector<uint8_t>{243, 121}, 7).ok());
  EXPECT_FALSE(CheckFitness(FitnessEncoding::kTernary, std::vector<uint8_t>{121, 242}, 7).ok());
  EXPECT_TRUE(CheckFitness(FitnessEncoding::kTernary, std::vector<uint8_t>{121, 121}, 7).ok());
  EXPECT_FALSE(CheckFitness(FitnessEncoding::kInt8, std::vector<uint8_t>{0x80}, 1).ok());
}

TEST(Commit, NormalizedFitnessIsTheDifferenceOverTheMean) {
  JobSpec spec;
  spec.fitness = FitnessRule::kNormalized;
  const std::vector<int32_t> scores = {100, 0, 0, 100, 0, 0, 1000, 0};
  const Commit commit = MakeNormalizedCommit(spec, 0, scores);  // mean |d| = 300
  EXPECT_EQ(DecodeFitness(commit.encoding, commit.fitness, 4),
            (std::vector<int8_t>{10, -11, 0, 106}));
}

TEST(Schedule, AlphaAnnealsAsTheReferenceDoes) {
  for (uint32_t t : {0u, 1u, 10u, 480u, 1000u, 5000u}) {
    const double want = 65536.0 / (15.0 * t / 1000.0 + 1.0);
    EXPECT_EQ(core::Alpha(t, 65536, 4, 1000), static_cast<uint32_t>(want)) << t;
  }
  EXPECT_EQ(core::Alpha(0x7fffffff, 1, 16, 1), 1u);
}

TEST(Schedule, ZScoreInvertsTheNormalTail) {
  for (uint32_t alpha = 1; alpha <= 65536; alpha += alpha < 4096 ? 1 : 37) {
    const double z = core::ZScore(alpha) / 65536.0;
    EXPECT_NEAR(std::erfc(z / std::sqrt(2.0)) * 65536.0, alpha, 0.0012 * alpha + 0.05) << alpha;
  }
  EXPECT_EQ(core::ZScore(65536), 0u);
}

TEST(Threshold, IsTheCeilingOfTheExactValue) {
  for (uint64_t n : {1ull, 2ull, 999ull, 16384ull, 1ull << 40, (1ull << 57) - 1}) {
    for (uint32_t z : {0u, 1u, 65536u, 131073u, 294912u}) {
      const uint64_t t = core::Threshold(z, 1, n);
      const __int128 square = static_cast<__int128>(z) * z * static_cast<__int128>(n);
      EXPECT_GE(static_cast<__int128>(t) * t << 32, square);
      if (t > 0) {
        EXPECT_LT(static_cast<__int128>(t - 1) * (t - 1) << 32, square);
      }
    }
  }
}

TEST(Window, OffsetsCoverTheRange) {
  uint64_t low = ~0ull, high = 0;
  for (uint32_t group = 0; group < 4096; ++group) {
    const uint64_t offset = core::WindowOffset(3, 1, group, 1000);
    low = std::min(low, offset);
    high = std::max(high, offset);
  }
  EXPECT_LT(low, 5u);
  EXPECT_GE(high, 995u);
  EXPECT_LT(high, 1000u);
}

TEST(JobSpec, NamesFieldAndRange) {
  JobSpec spec;
  spec.population = 100;
  spec.group_size = 64;
  EXPECT_NE(spec.Validate().message().find("not a multiple of group_size 64"), std::string::npos);
  spec = JobSpec{};
  spec.sigma_shift = 5;
  EXPECT_NE(spec.Validate().message().find("[0, 4]"), std::string::npos);
  EXPECT_TRUE(JobSpec{}.Validate().ok());
}

}  // namespace
}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// kernels/core and kernels/ against the oracle and against floating point.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/commit.h"
#include "kernels/core/egg.h"
#include "kernels/core/score.h"
#include "kernels/core/trits.h"
#include "kernels/core/update.h"
#include "kernels/core/window.h"
#include "kernels/model.h"
#include "tests/oracle/job.h"

namespace hatchery {
namespace {

TEST(Tables, LiteralsEqualTheirFormulas) {
  const oracle::Tables& t = oracle::TheTables();
  for (uint32_t i = 0; i < 256; ++i) {
    EXPECT_EQ(core::NormalTable(i), t.normal[i]) << i;
    EXPECT_EQ(core::Exp2Table(i), t.exp2[i]) << i;
  }
  for (uint32_t i = 0; i <= 256; ++i) {
    EXPECT_EQ(core::Log2Table(i), t.log2[i]) << i;
    EXPECT_EQ(core::ZTable(i), t.z[i]) << i;
  }
  EXPECT_EQ(core::kNormalMeanSquare, static_cast<uint32_t>(t.normal_mean_square));
}

TEST(Philox, EqualsTheOracles) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t a = random(), b = random(), key = random();
    const auto low = [](uint64_t v) { return static_cast<uint32_t>(v); };
    const core::Word4 got = core::Philox({low(a), low(a >> 32), low(b), low(b >> 32)}, key);
    const auto want = oracle::Philox({low(a), low(a >> 32), low(b), low(b >> 32)}, key);
    for (uint32_t w = 0; w < 4; ++w) ASSERT_EQ(core::WordAt(got, w), want[w]);
  }
}

TEST(Noise, ElementsAreLittleEndianWithinABlock) {
  const core::Word4 bits{0x1u, 0x80000000u, 0x0u, 0xFF00u};
  for (uint32_t e = 0; e < 128; ++e) {
    const bool set = e == 0 || e == 63 || (e >= 96 + 8 && e < 96 + 16);
    EXPECT_EQ(core::RademacherValue(bits, e), set ? -1 : 1) << e;
  }
  EXPECT_EQ(core::GaussianValue(bits, 0), core::NormalTable(1));
  EXPECT_EQ(core::GaussianValue(bits, 7), core::NormalTable(0x80));
  EXPECT_EQ(core::GaussianValue(bits, 13), core::NormalTable(0xFF));
}

TEST(Noise, StepsShareNoiseInRuns) {
  EXPECT_EQ(core::NoiseStep(17, 0), 0u);
  EXPECT_EQ(core::NoiseStep(17, 1), 17u);
  EXPECT_EQ(core::NoiseStep(17, 3), 5u);
}

TEST(Arithmetic, DivisionAndShiftsRoundDown) {
  for (int32_t a = -600; a <= 600; ++a)
    for (int32_t d = 1; d <= 70; ++d)
      ASSERT_EQ(core::FloorDiv(a, d), static_cast<int32_t>(std::floor(double(a) / d)));
  EXPECT_EQ(core::MatrixPerturbation(core::Noise::kGaussian, 4, -1, 1), -1);
  EXPECT_EQ(core::MatrixPerturbation(core::Noise::kGaussian, 4, 1, 1), 0);
  EXPECT_EQ(core::ElementPerturbation(core::Noise::kGaussian, 4, -1, 46), -3);
  EXPECT_EQ(core::ElementPerturbation(core::Noise::kRademacher, 3, -1, 1), -2);
  EXPECT_EQ(core::MatmulOutput(int64_t{1} << 40, 16), 127);
  EXPECT_EQ(core::MatmulOutput(-(int64_t{1} << 40), 16), -128);
}

TEST(Arithmetic, SquareRootIsExact) {
  for (uint64_t v = 0; v < 70000; ++v) {
    const uint64_t r = core::SquareRoot(v);
    ASSERT_TRUE(r * r <= v && (r + 1) * (r + 1) > v) << v;
  }
  for (uint64_t r : {65535ull, 65536ull, (1ull << 31) + 1, (1ull << 32) - 1}) {
    EXPECT_EQ(core::SquareRoot(r * r), r);
    EXPECT_EQ(core::SquareRoot(r * r - 1), r - 1);
  }
  EXPECT_EQ(core::SquareRoot(~0ull), 0xFFFFFFFFull);
}

TEST(Egg, GatesRoundDownAndSaturate) {
  for (int32_t f = -128; f <= 127; ++f) {
    for (int32_t h = -128; h <= 127; ++h) {
      ASSERT_EQ(core::GatedState(f, h), static_cast<int32_t>(std::floor((f + 128) * h / 256.0)));
      for (int32_t c : {-128, -1, 0, 55, 127}) {
        const double next = h + std::floor((f + 128) * (c - h) / 256.0);
        ASSERT_EQ(core::NextState(f, c, h), static_cast<int32_t>(next));
      }
    }
  }
  EXPECT_EQ(core::NormDivisor(7, 8), 1);
  EXPECT_EQ(core::NormOutput(-128, 127, 1), -128);
  EXPECT_EQ(core::NormOutput(-1, 1, 2), -1);
}

TEST(Trits, AllBytesRoundTrip) {
  for (uint32_t byte = 0; byte < core::kTritByteLimit; ++byte) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 5; ++i) {
      ASSERT_GE(core::TritAt(byte, i), -1);
      ASSERT_LE(core::TritAt(byte, i), 1);
      sum += core::TritTerm(core::TritAt(byte, i), i);
    }
    EXPECT_EQ(sum, byte);
  }
}

TEST(Score, Log2IsWithinFiveUnits) {
  std::mt19937 random(2);
  for (int i = 0; i < 1000000; ++i) {
    const uint32_t v = i < 100000 ? static_cast<uint32_t>(i + 1) : (random() >> (i % 32)) | 1;
    ASSERT_NEAR(core::Log2(v), std::log2(double(v)) * 65536, 5.0) << v;
  }
}

TEST(Score, AWindowIsFarBelowOneBitFromExact) {
  std::mt19937 random(3);
  double error = 0;
  for (int token = 0; token < 1000; ++token) {
    const int32_t spread = 1 + token % 127;
    int32_t logits[256];
    uint32_t terms = 0;
    double exact = 0;
    for (int32_t& logit : logits) {
      logit = static_cast<int32_t>(random() % static_cast<uint32_t>(2 * spread + 1)) - spread;
      terms += core::SoftmaxTerm(logit);
      exact += std::exp2(logit / 16.0);
    }
    const double got = core::TokenScore(logits[0], terms) / 4096.0;
    const double want = logits[0] / 16.0 - std::log2(exact);
    ASSERT_NEAR(got, want, 0.00025);
    error += got - want;
    ASSERT_NEAR(core::CoarseTokenScore(logits[0], terms) / 16.0, want + 1 / 32.0, 0.04);
  }
  EXPECT_LT(std::abs(error), 0.1);
}

TEST(Score, TheWorstLogitsCostSixThousandthsOfABit) {
  for (int32_t rest = -128; rest <= 127; ++rest) {
    for (int32_t top = rest; top <= 127; ++top) {
      const uint32_t terms = core::SoftmaxTerm(top) + 255 * core::SoftmaxTerm(rest);
      const double want =
          top / 16.0 - std::log2(std::exp2(top / 16.0) + 255 * std::exp2(rest / 16.0));
      ASSERT_NEAR(core::TokenScore(top, terms) / 4096.0, want, 0.006) << rest << " " << top;
    }
  }
}

TEST(Window, OffsetsAreUniform) {
  uint32_t counts[10] = {};
  for (uint32_t group = 0; group < 20000; ++group)
    ++counts[core::WindowOffset(5, group % 7, group, 10)];
  for (uint32_t count : counts) EXPECT_NEAR(count, 2000, 200);  // 4.7 standard deviations
}

TEST(Schedule, EqualsTheOracles) {
  oracle::Job job;
  for (uint32_t step = 0; step < 3000; ++step)
    ASSERT_EQ(core::Alpha(step, 65536, 4, 1000), oracle::Alpha(job, step));
  for (uint32_t alpha = 1; alpha <= 65536; ++alpha)
    ASSERT_EQ(core::ZScore(alpha), oracle::ZScore(alpha)) << alpha;
}

TEST(Threshold, EqualsTheOracles) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 5000; ++i) {
    const uint32_t z = static_cast<uint32_t>(random() % 300000);
    const uint64_t squares = random() >> (7 + random() % 57);
    ASSERT_EQ(core::Threshold(z, 1, squares), oracle::Threshold(z, 1, squares));
  }
}

TEST(Model, WeightsAndDigestEqualTheOracles) {
  for (uint32_t hidden : {1u, 3u, 7u, 24u, 33u, 100u}) {
    JobSpec spec;
    spec.hidden = hidden;
    spec.layers = 1 + hidden % 3;
    spec.seed = hidden * 0x123456789ABCDEFull;
    const Model model(spec);
    const std::vector<int8_t> weights = InitialWeights(model, spec.seed);
    const oracle::Weights want = oracle::InitialWeights(OracleJob(spec));
    ASSERT_EQ(weights, want);
    const core::Digest digest = DigestOfBytes(weights, 0);
    EXPECT_EQ((std::array<uint64_t, 2>{digest.lane0, digest.lane1}), oracle::Digest(want));
  }
}

TEST(Fitness, EqualsTheOracles) {
  std::mt19937 random(6);
  JobSpec spec;
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<int32_t> scores(2 * (1 + random() % 23));
    for (int32_t& s : scores) s = -static_cast<int32_t>(random() % (1u << (random() % 29)));
    const uint32_t pairs = static_cast<uint32_t>(scores.size() / 2);
    auto decoded = [&](FitnessEncoding encoding, const std::vector<uint8_t>& bytes) {
      const std::vector<int8_t> values = DecodeFitness(encoding, bytes, pairs);
      return std::vector<int>(values.begin(), values.end());
    };
    EXPECT_EQ(decoded(FitnessEncoding::kTernary, EncodeSigns(scores)), oracle::SignFitness(scores));
    const Commit commit = MakeNormalizedCommit(spec, 0, scores);
    EXPECT_EQ(decoded(FitnessEncoding::kInt8, commit.fitness), oracle::NormalizedFitness(scores));
  }
}

}  // namespace
}  // namespace hatchery

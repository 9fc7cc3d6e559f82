// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The CPU backend against the oracle, bit for bit.
#include <gtest/gtest.h>

#include <random>

#include "cpu_fallback/cpu_replica.h"
#include "kernels/core/arithmetic.h"
#include "tests/oracle/job.h"

namespace hatchery {
namespace {

std::vector<uint8_t> RandomText(uint32_t bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> text(bytes);
  for (uint8_t& b : text) b = static_cast<uint8_t>(random() % 3 ? random() % 16 + 96 : random());
  return text;
}

enum class Start { kInitial, kMax, kMin, kAlternating, kExtremes, kSaturating };

std::vector<int8_t> StartWeights(const Model& model, const oracle::Job& job, Start start) {
  std::vector<int8_t> weights = oracle::InitialWeights(job);
  std::mt19937 random(11);
  for (const Tensor& t : model.tensors()) {
    for (uint64_t e = 0; e < t.elements(); ++e) {
      int8_t& w = weights[t.offset + e];
      if (start == Start::kMax) w = 127;
      if (start == Start::kMin) w = -127;
      if (start == Start::kAlternating) w = e % 2 ? 127 : -127;
      if (start == Start::kExtremes) w = random() % 2 ? 127 : -127;
      // Embedding -127 and gain 127 drive every activation to -128 through the norm; the
      // biases drive the state there as well.
      if (start == Start::kSaturating)
        w = t.kind == TensorKind::kGain || t.kind == TensorKind::kMatrix ? 127 : -127;
    }
  }
  return weights;
}

struct Case {
  JobSpec spec;
  Start start = Start::kInitial;
};

// Evaluate, Validate, UpdateSlice, Apply, DigestOf over `steps` steps.
void ExpectSame(const Case& c, CpuProduct product, unsigned threads, uint32_t steps = 2) {
  const JobSpec& spec = c.spec;
  ASSERT_TRUE(spec.Validate().ok()) << spec.Validate().message();
  const oracle::Job job = OracleJob(spec);
  const auto train = RandomText(400, 1), held_out = RandomText(31, 2);
  auto created = CreateCpuReplica(spec, DataView{train, held_out}, CpuOptions{threads, product});
  ASSERT_TRUE(created.ok()) << created.status().message();
  Replica& replica = **created;
  oracle::Weights weights = StartWeights(replica.model(), job, c.start);
  const uint32_t first = 5;
  ASSERT_TRUE(replica.Restore(first, weights).ok());

  const uint32_t pairs = spec.pairs();
  for (uint32_t step = first; step < first + steps; ++step) {
    std::vector<int32_t> scores(spec.population);
    const uint32_t middle = pairs / 3;
    ASSERT_TRUE(replica.Evaluate({0, middle}, {}, std::span(scores).first(2 * middle)).ok());
    ASSERT_TRUE(replica.Evaluate({middle, pairs}, {}, std::span(scores).subspan(2 * middle)).ok());
    ASSERT_EQ(scores, oracle::Scores(job, weights, step, train, 0, pairs)) << "step " << step;

    const bool sign = spec.fitness == FitnessRule::kSign;
    const Commit commit = sign ? MakeSignCommit(spec, step, EncodeSigns(scores))
                               : MakeNormalizedCommit(spec, step, scores);
    weights = oracle::Update(
        job, weights, step, sign ? oracle::SignFitness(scores) : oracle::NormalizedFitness(scores));
    const uint64_t cut = replica.model().bytes() / 16 * 8;
    std::vector<int8_t> slice(replica.model().bytes() - cut);
    ASSERT_TRUE(replica.UpdateSlice(commit, cut, slice).ok());
    ASSERT_TRUE(std::equal(slice.begin(), slice.end(), weights.begin() + int64_t(cut)));
    ASSERT_TRUE(replica.Apply(commit).ok());
    ASSERT_EQ(*replica.Snapshot(), weights) << "step " << step;
    const core::Digest digest = *replica.DigestOfAll();
    ASSERT_EQ((std::array<uint64_t, 2>{digest.lane0, digest.lane1}), oracle::Digest(weights));
  }

  const HeldOutSums got = *replica.Validate(0, spec.held_out_streams, {});
  const oracle::HeldOut want = oracle::Validate(job, weights, held_out, 0, spec.held_out_streams);
  EXPECT_EQ(got.score, want.score);
  EXPECT_EQ(got.coarse_score, want.coarse_score);
  EXPECT_EQ(got.correct, want.correct);
  EXPECT_EQ(got.tokens, want.tokens);
}

JobSpec SmallSpec() {
  JobSpec spec;
  spec.hidden = 24;
  spec.layers = 2;
  spec.seed = 0xFEDCBA9876543210u;
  spec.population = 12;
  spec.group_size = 4;
  spec.window = 5;
  spec.held_out_streams = 3;
  spec.alpha_decay_steps = 7;
  return spec;
}

class Product : public testing::TestWithParam<CpuProduct> {
 protected:
  void SetUp() override {
    if (!CreateCpuReplica(SmallSpec(), {}, CpuOptions{1, GetParam()}).ok())
      GTEST_SKIP() << "this processor cannot compute this product exactly";
  }
};
INSTANTIATE_TEST_SUITE_P(Cpu, Product, testing::Values(CpuProduct::kOneDnn, CpuProduct::kPortable),
                         [](const auto& param) {
                           return param.param == CpuProduct::kOneDnn ? "OneDnn" : "Portable";
                         });

TEST_P(Product, Widths) {
  for (uint32_t hidden : {1u, 3u, 7u, 24u, 33u, 64u, 96u, 100u, 130u}) {
    for (core::Noise noise : {core::Noise::kRademacher, core::Noise::kGaussian}) {
      Case c{SmallSpec()};
      c.spec.hidden = hidden;
      c.spec.noise = noise;
      c.spec.layers = 1 + hidden % 2;
      c.spec.rank = 1 + hidden % 3;
      SCOPED_TRACE(testing::Message() << "D " << hidden << " noise " << int(noise));
      ExpectSame(c, GetParam(), 2);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(Product, RanksAndSigmas) {
  for (core::Noise noise : {core::Noise::kRademacher, core::Noise::kGaussian}) {
    for (uint32_t shift = 0; shift <= core::MaxSigmaShift(noise); ++shift) {
      Case c{SmallSpec()};
      c.spec.noise = noise;
      c.spec.sigma_shift = shift;
      for (uint32_t rank : {1u, 2u, 3u, 4u, 8u}) {
        if (rank != 1 + shift % 4 && (rank != 8 || shift % 4 != 0)) continue;
        c.spec.rank = rank;
        SCOPED_TRACE(testing::Message()
                     << "noise " << int(noise) << " shift " << shift << " rank " << rank);
        ExpectSame(c, GetParam(), 1);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Product, ExtremeWeightsAndActivations) {
  for (core::Noise noise : {core::Noise::kRademacher, core::Noise::kGaussian}) {
    for (Start start :
         {Start::kMax, Start::kMin, Start::kAlternating, Start::kExtremes, Start::kSaturating}) {
      for (uint32_t hidden : {33u, 64u}) {
        Case c{SmallSpec(), start};
        c.spec.noise = noise;
        c.spec.rank = 8;
        c.spec.sigma_shift = 0;
        c.spec.hidden = hidden;
        SCOPED_TRACE(testing::Message() << "noise " << int(noise) << " start " << int(start));
        ExpectSame(c, GetParam(), 2);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Product, GroupsBurnInAndReuse) {
  for (uint32_t reuse : {0u, 1u, 3u}) {
    for (uint32_t group : {2u, 6u, 42u}) {
      Case c{SmallSpec()};
      c.spec.population = 42;
      c.spec.group_size = group;
      c.spec.noise_reuse = reuse;
      c.spec.burn_in = reuse * 2;
      c.spec.hidden = 9;
      c.spec.layers = 1;
      SCOPED_TRACE(testing::Message() << "reuse " << reuse << " group " << group);
      ExpectSame(c, GetParam(), 2);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(Product, BothFitnessRulesOverSeveralSteps) {
  for (core::Noise noise : {core::Noise::kRademacher, core::Noise::kGaussian}) {
    for (FitnessRule rule : {FitnessRule::kSign, FitnessRule::kNormalized}) {
      Case c{SmallSpec()};
      c.spec.noise = noise;
      c.spec.rank = 2;
      c.spec.fitness = rule;
      c.spec.population = 300;  // more pairs than a 128-pair batch, and no multiple of one
      c.spec.group_size = 2;
      c.spec.hidden = 8;
      c.spec.layers = 1;
      c.spec.alpha_start = 60000;
      SCOPED_TRACE(testing::Message() << "noise " << int(noise) << " rule " << int(rule));
      ExpectSame(c, GetParam(), 2, 5);
      if (HasFatalFailure()) return;
    }
  }
}

// More pairs than the backend sums at a time, some of them silent, at full int8 range.
TEST_P(Product, UpdatesOfManyPairs) {
  for (core::Noise noise : {core::Noise::kRademacher, core::Noise::kGaussian}) {
    JobSpec spec = SmallSpec();
    spec.noise = noise;
    spec.hidden = 5;
    spec.layers = 1;
    spec.fitness = FitnessRule::kNormalized;
    spec.population = 5002;
    spec.alpha_start = 20000;  // so that the threshold matters
    spec.group_size = 2;
    const oracle::Job job = OracleJob(spec);
    auto replica = CreateCpuReplica(spec, {}, CpuOptions{2, GetParam()});
    ASSERT_TRUE(replica.ok());
    Commit commit = MakeNormalizedCommit(spec, 0, std::vector<int32_t>(spec.population, 0));
    std::vector<int> fitness;
    std::mt19937 random(8);
    for (uint8_t& byte : commit.fitness) {
      fitness.push_back(random() % 4 == 0 ? 0 : static_cast<int>(random() % 255) - 127);
      byte = static_cast<uint8_t>(fitness.back());
    }
    ASSERT_TRUE((*replica)->Apply(commit).ok());
    EXPECT_EQ(*(*replica)->Snapshot(),
              oracle::Update(job, oracle::InitialWeights(job), 0, fitness));
  }
}

}  // namespace
}  // namespace hatchery

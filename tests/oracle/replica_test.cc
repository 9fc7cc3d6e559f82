// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The CPU backend against the oracle, bit for bit.
#include <gtest/gtest.h>

#include <random>

#include "cpu_fallback/cpu_replica.h"
#include "kernels/core/arithmetic.h"
#include "tests/oracle/expect_same.h"

namespace hatchery {
namespace {

void ExpectSame(const Case& c, CpuProduct product, unsigned threads, uint32_t steps = 2) {
  ExpectSameAsOracle(c, steps, [&](const JobSpec& spec, DataView data) {
    return CreateCpuReplica(spec, data, CpuOptions{threads, product});
  });
}

class Product : public testing::TestWithParam<CpuProduct> {
 protected:
  void SetUp() override {
    if (!CreateCpuReplica(SmallSpec(), {}, CpuOptions{1, GetParam()}).ok())
      GTEST_SKIP() << "this processor cannot compute this product exactly";
  }
};
INSTANTIATE_TEST_SUITE_P(Cpu, Product,
                         testing::Values(CpuProduct::kOneDnn, CpuProduct::kDot,
                                         CpuProduct::kPortable),
                         [](const auto& param) {
                           return param.param == CpuProduct::kOneDnn ? "OneDnn"
                                  : param.param == CpuProduct::kDot  ? "Dot"
                                                                     : "Portable";
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

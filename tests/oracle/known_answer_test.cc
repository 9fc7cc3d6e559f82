// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The known answers that docs/contract.md prints, section 9. A failure here means that every
// journal ever written would replay to other bytes: fix the code, or raise kContractVersion.
#include <gtest/gtest.h>

#include "cpu_fallback/cpu_replica.h"
#include "tests/oracle/job.h"

namespace hatchery {
namespace {

JobSpec TinyJob() {
  JobSpec spec;
  spec.hidden = 24;
  spec.layers = 2;
  spec.seed = 0x0123456789ABCDEF;
  spec.population = 64;
  spec.window = 8;
  spec.held_out_streams = 4;
  return spec;
}

std::vector<uint8_t> TinyText() {
  std::vector<uint8_t> text(4096);
  for (uint32_t i = 0; i < text.size(); ++i) text[i] = static_cast<uint8_t>(i * i / 16);
  return text;
}

std::string OracleDigest(const oracle::Weights& weights) {
  const auto lanes = oracle::Digest(weights);
  return FormatDigest(core::Digest{lanes[0], lanes[1]});
}

// Trains `steps` steps by the CPU backend and by the oracle; both must reach `digest`.
void ExpectDigest(const JobSpec& spec, uint32_t steps, const std::string& digest) {
  const std::vector<uint8_t> text = TinyText();
  auto created = CreateCpuReplica(spec, DataView{text, text});
  ASSERT_TRUE(created.ok()) << created.status().message();
  Replica& replica = **created;
  const oracle::Job job = OracleJob(spec);
  oracle::Weights weights = oracle::InitialWeights(job);
  const bool sign = spec.fitness == FitnessRule::kSign;
  for (uint32_t step = 0; step < steps; ++step) {
    std::vector<int32_t> scores(spec.population);
    ASSERT_TRUE(replica.Evaluate({0, spec.pairs()}, {}, scores).ok());
    ASSERT_TRUE(replica
                    .Apply(sign ? MakeSignCommit(spec, step, EncodeSigns(scores))
                                : MakeNormalizedCommit(spec, step, scores))
                    .ok());
    scores = oracle::Scores(job, weights, step, text, 0, spec.pairs());
    weights = oracle::Update(
        job, weights, step, sign ? oracle::SignFitness(scores) : oracle::NormalizedFitness(scores));
  }
  EXPECT_EQ(OracleDigest(weights), digest);
  EXPECT_EQ(FormatDigest(*replica.DigestOfAll()), digest);
}

TEST(KnownAnswers, RademacherSign) {
  ExpectDigest(TinyJob(), 0, "abfd3f4452146ddb356d8a7956070ab1");
  ExpectDigest(TinyJob(), 1, "6d78ac47761eb3a1d305c546fe7232bf");
  ExpectDigest(TinyJob(), 10, "d57e7ab937188ed65c3ca3bd30a896dd");
}

TEST(KnownAnswers, GaussianNormalized) {
  JobSpec spec = TinyJob();
  spec.noise = core::Noise::kGaussian;
  spec.sigma_shift = 4;
  spec.rank = 2;
  spec.group_size = 4;
  spec.burn_in = 3;
  spec.noise_reuse = 2;
  spec.fitness = FitnessRule::kNormalized;
  ExpectDigest(spec, 10, "324b2f68d9e142fd6c6aee146d59da52");
}

TEST(KnownAnswers, FirstScoresAndHeldOutSums) {
  const oracle::Job job = OracleJob(TinyJob());
  const oracle::Weights weights = oracle::InitialWeights(job);
  EXPECT_EQ(oracle::Scores(job, weights, 0, TinyText(), 0, 2),
            (std::vector<int32_t>{-283301, -312145, -309571, -299452}));
  const oracle::HeldOut sums = oracle::Validate(job, weights, TinyText(), 0, 4);
  EXPECT_EQ(sums.score, -147850724);
  EXPECT_EQ(sums.coarse_score, -575510);
  EXPECT_EQ(sums.correct, 18u);
  EXPECT_EQ(sums.tokens, 4092u);
}

}  // namespace
}  // namespace hatchery

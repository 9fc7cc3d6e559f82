// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A backend's replica against the oracle, bit for bit.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "kernels/replica.h"
#include "tests/oracle/job.h"

namespace hatchery {

inline std::vector<uint8_t> RandomText(uint32_t bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> text(bytes);
  for (uint8_t& b : text) b = static_cast<uint8_t>(random() % 3 ? random() % 16 + 96 : random());
  return text;
}

enum class Start { kInitial, kMax, kMin, kAlternating, kExtremes, kSaturating };

inline std::vector<int8_t> StartWeights(const Model& model, const oracle::Job& job, Start start) {
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
// `create(spec, data)` makes the replica.
template <typename Create>
void ExpectSameAsOracle(const Case& c, uint32_t steps, const Create& create) {
  const JobSpec& spec = c.spec;
  ASSERT_TRUE(spec.Validate().ok()) << spec.Validate().message();
  const oracle::Job job = OracleJob(spec);
  const auto train = RandomText(400, 1), held_out = RandomText(31, 2);
  StatusOr<std::unique_ptr<Replica>> created = create(spec, DataView{train, held_out});
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

inline JobSpec SmallSpec() {
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

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Evaluation and update against a plain scalar walk of the contract's functions, one member and
// one weight at a time.
#include <gtest/gtest.h>

#include "cpu_fallback/cpu_replica.h"
#include "kernels/core/egg.h"
#include "kernels/core/window.h"
#include "tests/cpu/tiny_jobs.h"

namespace hatchery {
namespace {

class ScalarEgg {
 public:
  ScalarEgg(const JobSpec& spec, uint32_t step, const std::vector<int8_t>& w)
      : spec_(spec), model_(spec), noise_step_(core::NoiseStep(step, spec.noise_reuse)), w_(w) {}

  int32_t Score(uint32_t member, const uint8_t* window) const {
    std::vector<std::vector<int32_t>> h(spec_.layers, std::vector<int32_t>(spec_.hidden, 0));
    int32_t score = 0;
    for (uint32_t t = 0; t < spec_.burn_in + spec_.window; ++t) {
      const auto logits = Token(member, window[t], h);
      if (t < spec_.burn_in) continue;
      uint32_t terms = 0;
      for (int32_t l : logits) terms += core::SoftmaxTerm(l);
      score += core::TokenScore(logits[window[t + 1]], terms);
    }
    return score;
  }

  int64_t Noise(uint32_t pair, const Tensor& t, core::Factor factor, uint32_t rank, uint32_t row,
                uint32_t e) const {
    const uint32_t per = core::ElementsPerBlock(spec_.noise);
    const uint32_t first =
        t.kind == TensorKind::kMatrix ? 0 : row * core::BlocksPerRow(spec_.noise, t.columns);
    return core::NoiseValue(
        spec_.noise,
        core::NoiseBlock(spec_.seed, noise_step_, pair, t.id, factor, rank, first + e / per),
        e % per);
  }

 private:
  using Row = std::vector<int32_t>;

  int32_t Element(uint32_t member, uint32_t id, uint32_t row, uint32_t e) const {
    const Tensor& t = model_.tensor(id);
    const auto noise = Noise(member / 2, t, core::Factor::kA, 0, row, e);
    return core::ClipWeight(w_[t.offset + row * t.columns + e] +
                            core::ElementPerturbation(spec_.noise, spec_.sigma_shift,
                                                      core::MemberSign(member),
                                                      static_cast<int32_t>(noise)));
  }

  Row Matmul(uint32_t member, uint32_t id, const Row& x) const {
    const Tensor& t = model_.tensor(id);
    Row out(t.rows);
    for (uint32_t o = 0; o < t.rows; ++o) {
      int64_t sum = 0, product = 0;
      for (uint32_t i = 0; i < t.columns; ++i) sum += w_[t.offset + o * t.columns + i] * x[i];
      for (uint32_t r = 0; r < spec_.rank; ++r) {
        int64_t dot = 0;
        for (uint32_t i = 0; i < t.columns; ++i)
          dot += Noise(member / 2, t, core::Factor::kB, r, 0, i) * x[i];
        product += Noise(member / 2, t, core::Factor::kA, r, 0, o) * dot;
      }
      sum += core::MatrixPerturbation(spec_.noise, spec_.sigma_shift, core::MemberSign(member),
                                      product);
      out[o] = core::MatmulOutput(static_cast<int32_t>(sum), core::MatmulDivisor(t.columns));
    }
    return out;
  }

  Row Norm(uint32_t member, uint32_t id, const Row& x) const {
    int32_t sum = 0;
    for (int32_t v : x) sum += std::abs(v);
    Row out(x.size());
    for (uint32_t i = 0; i < x.size(); ++i)
      out[i] =
          core::NormOutput(x[i], Element(member, id, 0, i), core::NormDivisor(sum, spec_.hidden));
    return out;
  }

  Row Token(uint32_t member, uint8_t token, std::vector<Row>& state) const {
    const uint32_t d = spec_.hidden;
    Row x(d);
    for (uint32_t i = 0; i < d; ++i) x[i] = Element(member, model_.embedding().id, token, i);
    for (uint32_t l = 0; l < spec_.layers; ++l) {
      const LayerTensors& t = model_.layer(l);
      Row& h = state[l];
      const Row n = Norm(member, t.norm1, x);
      const Row fx = Matmul(member, t.wf, n), fh = Matmul(member, t.uf, h);
      Row f(d), g(d);
      for (uint32_t i = 0; i < d; ++i) {
        f[i] = core::GateSum(fx[i], fh[i], Element(member, t.bf, 0, i));
        g[i] = core::GatedState(f[i], h[i]);
      }
      const Row cx = Matmul(member, t.wh, n), ch = Matmul(member, t.uh, g);
      for (uint32_t i = 0; i < d; ++i) {
        h[i] =
            core::NextState(f[i], core::GateSum(cx[i], ch[i], Element(member, t.bh, 0, i)), h[i]);
        x[i] = core::Residual(h[i], x[i]);
      }
      const Row y = Matmul(member, t.w2, Matmul(member, t.w1, Norm(member, t.norm2, x)));
      for (uint32_t i = 0; i < d; ++i) x[i] = core::Residual(y[i], x[i]);
    }
    return Matmul(member, model_.head(), Norm(member, model_.norm_out(), x));
  }

  JobSpec spec_;
  Model model_;
  uint32_t noise_step_;
  std::vector<int8_t> w_;
};

void ExpectScores(const JobSpec& spec, const std::vector<uint8_t>& train, Replica& replica) {
  const ScalarEgg egg(spec, replica.step(), *replica.Snapshot());
  const Shard shard{2, 9};
  std::vector<int32_t> scores(2 * shard.pairs());
  ASSERT_TRUE(replica.Evaluate(shard, {}, scores).ok());
  const uint64_t positions = train.size() - spec.burn_in - spec.window;
  for (uint32_t i = 0; i < scores.size(); ++i) {
    const uint32_t pair = shard.begin + i / 2;
    const uint8_t* window = train.data() + core::WindowOffset(spec.seed, replica.step(),
                                                              spec.GroupOfPair(pair), positions);
    ASSERT_EQ(scores[i], egg.Score(2 * shard.begin + i, window)) << "member " << i;
  }
}

void ExpectUpdate(const JobSpec& spec, Replica& replica) {
  const Model model(spec);
  const std::vector<int8_t> before = *replica.Snapshot();
  const ScalarEgg egg(spec, replica.step(), before);
  const Commit commit = RandomCommit(spec, replica.step());
  ASSERT_TRUE(replica.Apply(commit).ok());
  const std::vector<int8_t> after = *replica.Snapshot();
  const auto fitness = DecodeFitness(commit.encoding, commit.fitness, spec.pairs());
  const Thresholds thresholds = ComputeThresholds(spec, commit, fitness);
  for (const Tensor& t : model.tensors()) {
    const bool matrix = t.kind == TensorKind::kMatrix;
    for (uint32_t e = 0; e < t.elements(); ++e) {
      const uint32_t row = e / t.columns, column = e % t.columns;
      int64_t z = 0;
      for (uint32_t p = 0; p < spec.pairs(); ++p) {
        for (uint32_t r = 0; r < (matrix ? spec.rank : 1); ++r)
          z += fitness[p] * (matrix ? egg.Noise(p, t, core::Factor::kA, r, 0, row) *
                                          egg.Noise(p, t, core::Factor::kB, r, 0, column)
                                    : egg.Noise(p, t, core::Factor::kA, 0, row, column));
      }
      ASSERT_EQ(after[t.offset + e],
                core::UpdatedWeight(before[t.offset + e], z,
                                    matrix ? thresholds.matrix : thresholds.element))
          << t.name << " element " << e;
    }
  }
}

void CheckJob(const JobSpec& spec) {
  const auto train = RandomBytes(1000, 5);
  auto replica = CreateCpuReplica(spec, {train, {}}, {.threads = 2});
  ASSERT_TRUE(replica.ok()) << replica.status().message();
  ExpectScores(spec, train, **replica);
  ExpectUpdate(spec, **replica);
  ExpectScores(spec, train, **replica);
}

TEST(ScalarEgg, Rademacher) { CheckJob(TinyJob()); }

TEST(ScalarEgg, RademacherOfRankThreeAndPowerOfTwoWidth) {
  JobSpec spec = TinyJob();
  spec.hidden = 64;
  spec.layers = 1;
  spec.rank = 3;
  spec.sigma_shift = 0;
  CheckJob(spec);
}

TEST(ScalarEgg, Gaussian) {
  JobSpec spec = TinyJob();
  spec.noise = core::Noise::kGaussian;
  spec.rank = 2;
  spec.sigma_shift = 6;
  spec.fitness = FitnessRule::kNormalized;
  CheckJob(spec);
}

TEST(ScalarEgg, GaussianThatNeeds64Bits) {
  JobSpec spec = TinyJob();
  spec.hidden = 150;
  spec.layers = 1;
  spec.window = 3;
  spec.noise = core::Noise::kGaussian;
  spec.rank = 8;
  spec.sigma_shift = 0;
  CheckJob(spec);
}

TEST(ScalarEgg, NoiseReusedAcrossSteps) {
  JobSpec spec = TinyJob();
  spec.noise_reuse = 0;
  spec.hidden = 130;
  spec.window = 4;
  CheckJob(spec);
}

}  // namespace
}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The CUDA backend against the CPU backend, byte for byte. Skipped without a GPU.
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <tuple>

#include "cpu_fallback/cpu_replica.h"
#include "kernels/core/philox.h"
#include "kernels/cuda/cuda_replica.h"
#include "kernels/cuda/device_info.h"

namespace hatchery {
namespace {

// Bytes with some structure, so that scores of a pair differ.
std::vector<uint8_t> Text(size_t size, uint64_t key) {
  std::vector<uint8_t> text(size);
  for (size_t i = 0; i < size; ++i) {
    const core::Word4 bits = core::Philox({static_cast<uint32_t>(i), 0, 0, 0}, key);
    text[i] = static_cast<uint8_t>(bits.w0 % 4 == 0 ? bits.w1 & 0xFF : 'a' + i % 7);
  }
  return text;
}

struct Case {
  std::string name;
  JobSpec spec;
  uint32_t steps = 2;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

JobSpec Spec(uint32_t hidden, uint32_t layers, uint32_t population, uint32_t window) {
  JobSpec spec;
  spec.hidden = hidden;
  spec.layers = layers;
  spec.population = population;
  spec.window = window;
  spec.held_out_streams = 6;
  // After step 0, which moves every weight that noise touched, a sixteenth is to move: so
  // thresholds decide in step 1, and those of matrices differ from those of vectors unless rank
  // is 1.
  spec.alpha_decay_steps = 1;
  return spec;
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  auto add = [&](std::string name, JobSpec spec, auto change) {
    change(spec);
    cases.push_back({std::move(name), spec});
  };
  const auto as_is = [](JobSpec&) {};
  add("egg6x256", Spec(256, 6, 128, 8), as_is);
  add("egg6x256WideGroups", Spec(256, 6, 256, 8), [](JobSpec& s) { s.group_size = 64; });
  add("egg2x256SmallSigma", Spec(256, 2, 128, 12), [](JobSpec& s) { s.sigma_shift = 4; });
  add("egg2x256LargeSigma", Spec(256, 2, 128, 12), [](JobSpec& s) { s.sigma_shift = 0; });
  add("egg1x256OddPairs", Spec(256, 1, 2 * 193, 5), [](JobSpec& s) { s.burn_in = 4; });
  add("egg1x256OnePair", Spec(256, 1, 2, 5), [](JobSpec& s) { s.alpha_decay_steps = 1000; });
  add("egg2x256Rank4", Spec(256, 2, 66, 6), [](JobSpec& s) { s.rank = 4; });
  add("egg2x256Gaussian", Spec(256, 2, 66, 6), [](JobSpec& s) {
    s.noise = core::Noise::kGaussian;
    s.fitness = FitnessRule::kNormalized;
  });
  add("egg3x96", Spec(96, 3, 192, 10), [](JobSpec& s) { s.group_size = 64; });
  add("egg3x96Gaussian", Spec(96, 3, 64, 10), [](JobSpec& s) {
    s.noise = core::Noise::kGaussian;
    s.sigma_shift = 5;
    s.rank = 2;
  });
  add("egg2x128Normalized", Spec(128, 2, 100, 10),
      [](JobSpec& s) { s.fitness = FitnessRule::kNormalized; });
  add("egg2x32NoiseReuse", Spec(32, 2, 70, 16), [](JobSpec& s) { s.noise_reuse = 3; });
  add("egg1x40", Spec(40, 1, 30, 7), as_is);
  add("egg1x32Rank8", Spec(32, 1, 130, 9), [](JobSpec& s) { s.rank = 8; });
  add("egg2x64Rank3", Spec(64, 2, 64, 9), [](JobSpec& s) {
    s.rank = 3;
    s.sigma_shift = 0;
    s.burn_in = 3;
  });
  add("egg3x96Rank5", Spec(96, 3, 90, 6), [](JobSpec& s) {
    s.rank = 5;
    s.group_size = 6;
  });
  add("egg1x128Rank2", Spec(128, 1, 200, 6), [](JobSpec& s) { s.rank = 2; });
  add("egg2x160Rank7", Spec(160, 2, 70, 5), [](JobSpec& s) { s.rank = 7; });
  add("egg1x256Rank6SmallSigma", Spec(256, 1, 66, 4), [](JobSpec& s) {
    s.rank = 6;
    s.sigma_shift = 4;
  });
  add("egg2x512", Spec(512, 2, 40, 4), [](JobSpec& s) { s.burn_in = 2; });
  add("egg1x512Rank8", Spec(512, 1, 66, 3), [](JobSpec& s) { s.rank = 8; });
  add("egg1x512Gaussian", Spec(512, 1, 34, 3), [](JobSpec& s) {
    s.noise = core::Noise::kGaussian;
    s.rank = 8;
    s.sigma_shift = 0;
  });
  // Too wide for 32 sequences a block; 1,792 is as wide as 16 can be on Hopper.
  add("egg1x1024", Spec(1024, 1, 34, 3), as_is);
  add("egg2x896Rank8", Spec(896, 2, 38, 2), [](JobSpec& s) { s.rank = 8; });
  add("egg1x1024Gaussian", Spec(1024, 1, 22, 3), [](JobSpec& s) {
    s.noise = core::Noise::kGaussian;
    s.rank = 3;
    s.burn_in = 1;
  });
  add("egg1x1792", Spec(1792, 1, 34, 2), as_is);
  add("egg1x5", Spec(5, 1, 30, 7), as_is);
  return cases;
}

class Parity : public testing::TestWithParam<std::tuple<Case, CudaKernels>> {
 protected:
  void SetUp() override {
    if (CudaDeviceCount() == 0) GTEST_SKIP() << "no CUDA device on this machine";
    const auto& [name, spec, steps] = std::get<0>(GetParam());
    auto cpu = CreateCpuReplica(spec, data());
    ASSERT_TRUE(cpu.ok()) << cpu.status().message();
    cpu_ = std::move(*cpu);
    CudaOptions options;
    options.kernels = std::get<1>(GetParam());
    auto cuda = CreateCudaReplica(spec, data(), options);
    ASSERT_TRUE(cuda.ok()) << cuda.status().message();
    cuda_ = std::move(*cuda);
  }

  DataView data() const { return {train_, held_out_}; }
  const JobSpec& spec() const { return cpu_->spec(); }

  std::vector<int32_t> Scores(Replica& replica, Shard shard) {
    std::vector<int32_t> scores(2 * size_t{shard.pairs()}, 12345);
    const Status status = replica.Evaluate(shard, {}, scores);
    EXPECT_TRUE(status.ok()) << status.message();
    return scores;
  }

  Commit CommitOf(const std::vector<int32_t>& scores) {
    return spec().fitness == FitnessRule::kSign
               ? MakeSignCommit(spec(), cpu_->step(), EncodeSigns(scores))
               : MakeNormalizedCommit(spec(), cpu_->step(), scores);
  }

  const std::vector<uint8_t> train_ = Text(3000, 1);
  const std::vector<uint8_t> held_out_ = Text(130, 2);
  std::unique_ptr<Replica> cpu_, cuda_;
};

TEST_P(Parity, TrainsToTheSameBytes) {
  const Shard all{0, spec().pairs()};
  for (uint32_t step = 0; step < std::get<0>(GetParam()).steps; ++step) {
    const std::vector<int32_t> scores = Scores(*cpu_, all);
    ASSERT_EQ(Scores(*cuda_, all), scores) << "step " << step;
    const Commit commit = CommitOf(scores);
    ASSERT_TRUE(cpu_->Apply(commit).ok());
    const Status applied = cuda_->Apply(commit);
    ASSERT_TRUE(applied.ok()) << applied.message();
    ASSERT_EQ(cuda_->step(), step + 1);
    ASSERT_EQ(*cuda_->Snapshot(), *cpu_->Snapshot());
    ASSERT_TRUE(*cuda_->DigestOfAll() == *cpu_->DigestOfAll());
  }
}

TEST_P(Parity, EvaluatesAnyShard) {
  const uint32_t pairs = spec().pairs();
  const Shard shard{pairs / 3, pairs - pairs / 4};
  EXPECT_EQ(Scores(*cuda_, shard), Scores(*cpu_, shard));
}

TEST_P(Parity, ValidatesAndSamplesAlike) {
  const auto cuda = cuda_->Validate(1, 6, {});
  ASSERT_TRUE(cuda.ok()) << cuda.status().message();
  EXPECT_EQ(*cuda, *cpu_->Validate(1, 6, {}));
  RecurrentState a, b;
  for (uint8_t token : {72, 101, 255}) {
    EXPECT_EQ(*cuda_->Logits(token, a), *cpu_->Logits(token, b));
    EXPECT_EQ(a, b);
  }
}

TEST_P(Parity, SlicesMakeTheWhole) {
  const Commit commit = CommitOf(Scores(*cpu_, {0, spec().pairs()}));
  ASSERT_TRUE(cpu_->Apply(commit).ok());
  const uint64_t bytes = cuda_->model().bytes(), half = bytes / 3 / 8 * 8;
  std::vector<int8_t> first(half), second(bytes - half);
  ASSERT_TRUE(cuda_->UpdateSlice(commit, 0, first).ok());
  ASSERT_TRUE(cuda_->UpdateSlice(commit, half, second).ok());
  ASSERT_EQ(cuda_->step(), 0u);
  ASSERT_TRUE(cuda_->Install(0, first).ok());
  ASSERT_TRUE(cuda_->Install(half, second).ok());
  EXPECT_EQ(*cuda_->Snapshot(), *cpu_->Snapshot());
  EXPECT_TRUE(*cuda_->DigestOf(half, bytes - half) == *cpu_->DigestOf(half, bytes - half));
}

// Weights and activations at their limits.
TEST_P(Parity, ExtremeWeights) {
  std::vector<int8_t> weights(cpu_->model().bytes());
  for (const Tensor& t : cpu_->model().tensors())
    for (uint64_t e = 0; e < t.elements(); ++e)
      weights[t.offset + e] = static_cast<int8_t>((e / 7 + e % 3) % 2 == 0 ? 127 : -127);
  ASSERT_TRUE(cpu_->Restore(5, weights).ok());
  ASSERT_TRUE(cuda_->Restore(5, weights).ok());
  const Shard all{0, spec().pairs()};
  EXPECT_EQ(Scores(*cuda_, all), Scores(*cpu_, all));
}

// Weights that differ, as a share, of matrices or of all others.
double ShareMoved(const Model& model, bool matrices, const std::vector<int8_t>& before,
                  const std::vector<int8_t>& after) {
  uint64_t moved = 0, of = 0;
  for (const Tensor& t : model.tensors()) {
    if ((t.kind == TensorKind::kMatrix) != matrices) continue;
    of += t.elements();
    for (uint64_t e = t.offset; e < t.offset + t.elements(); ++e) moved += after[e] != before[e];
  }
  return static_cast<double>(moved) / static_cast<double>(of);
}

// In what Parity trains, step 1 moves some weights and spares most, and thresholds that are not
// equal by contract are far apart: one that is left out or taken for the other gives other bytes.
// Needs no GPU.
TEST(ParityCases, HaveThresholdsThatTell) {
  const std::vector<uint8_t> train = Text(3000, 1);
  for (const Case& c : Cases()) {
    if (c.spec.pairs() == 1) continue;  // moves all or nothing
    SCOPED_TRACE(c.name);
    const auto cpu = std::move(*CreateCpuReplica(c.spec, {train, {}}));
    std::vector<int32_t> scores(c.spec.population);
    std::vector<int8_t> before;
    Commit commit;
    for (uint32_t step = 0; step < 2; ++step) {
      ASSERT_TRUE(cpu->Evaluate({0, c.spec.pairs()}, {}, scores).ok());
      before = *cpu->Snapshot();
      commit = MakeCommit(c.spec, step, scores);
      ASSERT_TRUE(cpu->Apply(commit).ok());
    }
    const Thresholds of = ComputeThresholds(
        c.spec, commit, DecodeFitness(commit.encoding, commit.fitness, c.spec.pairs()));
    EXPECT_GT(of.element, 1u);
    if (c.spec.rank > 1 || c.spec.noise == core::Noise::kGaussian) {
      EXPECT_GE(of.matrix, of.element * 4 / 3);
    } else {
      EXPECT_EQ(of.matrix, of.element);
    }
    for (bool matrices : {false, true}) {
      const double moved = ShareMoved(cpu->model(), matrices, before, *cpu->Snapshot());
      EXPECT_GT(moved, 1.0 / 64) << matrices;
      EXPECT_LT(moved, 1.0 / 8) << matrices;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cuda, Parity,
                         testing::Combine(testing::ValuesIn(Cases()),
                                          testing::Values(CudaKernels::kReference,
                                                          CudaKernels::kMma, CudaKernels::kAuto)),
                         [](const auto& test_info) {
                           const CudaKernels kernels = std::get<1>(test_info.param);
                           return std::get<0>(test_info.param).name +
                                  (kernels == CudaKernels::kReference ? "Reference"
                                   : kernels == CudaKernels::kMma     ? "Mma"
                                                                      : "Auto");
                         });

// Tries with less and less memory beside the data: smaller chunks and the same bytes, and in the
// end one clear line. Gives the least memory beside the data that sufficed, or 0.
uint64_t LeastMemory(const std::vector<uint8_t>& text) {
  JobSpec spec = Spec(256, 2, 2 * 300, 6);
  const auto cpu = std::move(*CreateCpuReplica(spec, {text, text}));
  std::vector<int32_t> scores(spec.population), same(spec.population);
  EXPECT_TRUE(cpu->Evaluate({0, spec.pairs()}, {}, scores).ok());
  const Commit commit = MakeSignCommit(spec, 0, EncodeSigns(scores));
  EXPECT_TRUE(cpu->Apply(commit).ok());
  Status refusal;
  uint64_t least = 0;
  for (uint64_t beside = uint64_t{64} << 20; beside > 1000; beside = beside * 3 / 4) {
    CudaOptions options;
    options.memory_limit = 2 * text.size() + beside;
    const auto made = CreateCudaReplica(spec, {text, text}, options);
    refusal = made.status();
    if (refusal.ok()) refusal = (*made)->Evaluate({0, spec.pairs()}, {}, same);
    if (refusal.ok()) refusal = (*made)->Apply(commit);
    if (!refusal.ok()) break;
    least = beside;
    EXPECT_EQ(same, scores) << beside;
    EXPECT_TRUE(*(*made)->DigestOfAll() == *cpu->DigestOfAll()) << beside;
  }
  EXPECT_EQ(refusal.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(refusal.message().find("bytes free of"), std::string::npos) << refusal.message();
  EXPECT_NE(refusal.message().find(" takes "), std::string::npos) << refusal.message();
  return least;
}

TEST(Cuda, ScarceMemoryMakesSmallerChunksThenAnError) {
  if (CudaDeviceCount() == 0) GTEST_SKIP() << "no CUDA device on this machine";
  const uint64_t least = LeastMemory(Text(3000, 1));
  EXPECT_GT(least, 0u);
  EXPECT_LT(least, uint64_t{24} << 20);
  // What the data takes is left to it, however much that is.
  EXPECT_EQ(LeastMemory(Text(5'000'000, 1)), least);
}

TEST(Cuda, WideModelsAreFusedToo) {
  if (CudaDeviceCount() == 0) GTEST_SKIP() << "no CUDA device on this machine";
  const CudaDeviceInfo device = ReadCudaInfo()->devices[0];
  if (device.major < 8) GTEST_SKIP() << device.name << " is older than Ampere";
  const auto replica = CreateCudaReplica(Spec(device.major == 9 ? 1792 : 768, 1, 2, 1), {});
  ASSERT_TRUE(replica.ok()) << replica.status().message();
  EXPECT_NE((*replica)->Description().find("fused for any shape"), std::string::npos)
      << (*replica)->Description();
}

TEST(Cuda, RefusesAnAbsentDevice) {
  CudaOptions options;
  options.device = 99;
  const auto replica = CreateCudaReplica(JobSpec{}, {}, options);
  ASSERT_FALSE(replica.ok());
  EXPECT_EQ(replica.status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace hatchery

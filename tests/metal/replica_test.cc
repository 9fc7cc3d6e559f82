// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// MetalReplica and its kernels against the oracle and the CPU backend, bit for bit: on fibers, and
// on a Mac on the GPU as well.
#include <gtest/gtest.h>

#include "cpu_fallback/cpu_replica.h"
#include "kernels/core/arithmetic.h"
#include "metal/metal_replica.h"
#include "tests/metal/shim/shim_device.h"
#include "tests/oracle/expect_same.h"

namespace hatchery {
namespace {

using shim::DeviceSettings;

StatusOr<std::unique_ptr<Replica>> OnShim(const JobSpec& spec, DataView data,
                                          const MetalOptions& options = {},
                                          const DeviceSettings& settings = {},
                                          shim::Counts* counts = nullptr) {
  return CreateMetalReplica(shim::MakeDevice(settings, counts), spec, data, options);
}

enum class Where { kFibers, kGpu };

class Metal : public testing::TestWithParam<Where> {
 protected:
  void SetUp() override {
    if (GetParam() == Where::kFibers) return;
    if (const auto gpu = apple::OpenDevice(); gpu.status().code() == StatusCode::kNotFound)
      GTEST_SKIP() << gpu.status().message();
  }
  StatusOr<std::unique_ptr<Replica>> Create(const JobSpec& spec, DataView data,
                                            const MetalOptions& options = {}) {
    return GetParam() == Where::kGpu ? CreateMetalReplica(spec, data, options)
                                     : OnShim(spec, data, options);
  }
  void ExpectSame(const Case& c, uint32_t steps = 1, const MetalOptions& options = {}) {
    ExpectSameAsOracle(
        c, steps, [&](const JobSpec& spec, DataView data) { return Create(spec, data, options); });
  }
};
INSTANTIATE_TEST_SUITE_P(On, Metal, testing::Values(Where::kFibers, Where::kGpu),
                         [](const auto& param) {
                           return param.param == Where::kFibers ? "Fibers" : "Gpu";
                         });

constexpr core::Noise kNoises[] = {core::Noise::kRademacher, core::Noise::kGaussian};

TEST_P(Metal, Widths) {
  for (const uint32_t hidden : {1u, 7u, 24u, 32u, 33u, 64u, 100u, 128u}) {
    Case c{SmallSpec()};
    c.spec.hidden = hidden;
    c.spec.layers = 1 + hidden % 2;
    c.spec.rank = 1 + hidden % 3;
    c.spec.noise = kNoises[hidden / 3 % 2];
    c.spec.window = 3;
    SCOPED_TRACE(testing::Message() << "D " << hidden << " noise " << int(c.spec.noise));
    ExpectSame(c);
    if (HasFatalFailure()) return;
  }
}

TEST_P(Metal, FarOperands) {
  for (const core::Noise noise : kNoises) {
    Case c{SmallSpec()};
    c.spec.hidden = 40;
    c.spec.noise = noise;
    c.spec.rank = 2;
    MetalOptions options;
    options.far = true;
    SCOPED_TRACE(testing::Message() << "noise " << int(noise));
    ExpectSame(c, 1, options);
    if (HasFatalFailure()) return;
  }
}

TEST_P(Metal, RanksAndSigmas) {
  for (const core::Noise noise : kNoises) {
    for (uint32_t shift = 0; shift <= core::MaxSigmaShift(noise); shift += 2) {
      Case c{SmallSpec()};
      c.spec.hidden = 32;
      c.spec.layers = 1;
      c.spec.noise = noise;
      c.spec.sigma_shift = shift;
      c.spec.rank = shift % 4 == 0 ? 8 : 3;
      SCOPED_TRACE(testing::Message() << "noise " << int(noise) << " shift " << shift);
      ExpectSame(c);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(Metal, ExtremeWeightsAndActivations) {
  for (const core::Noise noise : kNoises) {
    for (const Start start :
         {Start::kMax, Start::kMin, Start::kAlternating, Start::kExtremes, Start::kSaturating}) {
      Case c{SmallSpec(), start};
      c.spec.noise = noise;
      c.spec.rank = 8;
      c.spec.sigma_shift = 0;
      c.spec.hidden = 33;
      c.spec.layers = 1;
      SCOPED_TRACE(testing::Message() << "noise " << int(noise) << " start " << int(start));
      ExpectSame(c);
      if (HasFatalFailure()) return;
    }
  }
}

// W2 has more columns than a float adds up, and all of them extreme.
TEST_P(Metal, ProductsOfMoreThan1024Columns) {
  for (const Start start : {Start::kMax, Start::kExtremes}) {
    Case c{SmallSpec(), start};
    c.spec.hidden = 288;
    c.spec.layers = 1;
    c.spec.population = 4;
    c.spec.window = 1;
    c.spec.held_out_streams = 15;
    SCOPED_TRACE(testing::Message() << "start " << int(start));
    ExpectSame(c);
    if (HasFatalFailure()) return;
  }
}

TEST_P(Metal, GroupsBurnInAndReuse) {
  for (const uint32_t reuse : {0u, 1u, 3u}) {
    Case c{SmallSpec()};
    c.spec.population = 84;
    c.spec.group_size = 2 + 4 * reuse;
    c.spec.noise_reuse = reuse;
    c.spec.burn_in = reuse * 2;
    c.spec.hidden = 9;
    c.spec.layers = 1;
    SCOPED_TRACE(testing::Message() << "reuse " << reuse);
    ExpectSame(c, 2);
    if (HasFatalFailure()) return;
  }
}

TEST_P(Metal, BothFitnessRulesOverSeveralSteps) {
  for (const core::Noise noise : kNoises) {
    for (const FitnessRule rule : {FitnessRule::kSign, FitnessRule::kNormalized}) {
      Case c{SmallSpec()};
      c.spec.noise = noise;
      c.spec.rank = 2;
      c.spec.fitness = rule;
      c.spec.population = 132;  // pairs: two batches of an update, and two more
      c.spec.group_size = 2;
      c.spec.hidden = 8;
      c.spec.layers = 1;
      c.spec.window = 3;
      c.spec.alpha_start = 60000;
      SCOPED_TRACE(testing::Message() << "noise " << int(noise) << " rule " << int(rule));
      ExpectSame(c, 3);
      if (HasFatalFailure()) return;
    }
  }
}

// MetalOptions::work of so many tokens of up to 1,024 members.
uint64_t PartOf(const JobSpec& spec, uint32_t tokens) {
  return tokens * 1024 * Model(spec).matrix_parameters();
}

// However an evaluation is cut into dispatches, and however an update.
TEST_P(Metal, CutsDoNotShow) {
  Case c{SmallSpec()};
  c.spec.hidden = 20;
  c.spec.layers = 1;
  c.spec.population = 100;
  c.spec.group_size = 2;
  c.spec.window = 5;
  c.spec.burn_in = 2;
  for (const uint32_t tokens : {1u, 2u, 3u}) {
    MetalOptions options;
    options.groups = tokens == 2 ? 2 : 1;
    options.work = PartOf(c.spec, tokens);
    options.update_work = 3 * 64 * 64 * 50;
    SCOPED_TRACE(testing::Message() << "tokens " << tokens);
    ExpectSame(c, 1, options);
    if (HasFatalFailure()) return;
  }
}

TEST_P(Metal, UpdatesOfManyPairs) {
  for (const core::Noise noise : kNoises) {
    JobSpec spec = SmallSpec();
    spec.noise = noise;
    spec.hidden = 5;
    spec.layers = 1;
    spec.fitness = FitnessRule::kNormalized;
    spec.population = 1202;
    spec.alpha_start = 20000;  // so that the threshold matters
    spec.group_size = 2;
    const oracle::Job job = OracleJob(spec);
    auto replica = Create(spec, {});
    ASSERT_TRUE(replica.ok()) << replica.status().message();
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

// A job of several threadgroups against the CPU backend: training, held-out text, sampling.
TEST_P(Metal, TrainsAsTheCpuDoes) {
  JobSpec spec = SmallSpec();
  spec.hidden = 32;
  spec.population = 80;
  spec.group_size = 10;
  spec.window = 8;
  spec.held_out_streams = 37;
  const auto train = RandomText(3000, 3), held_out = RandomText(300, 4);
  auto metal = Create(spec, {train, held_out});
  ASSERT_TRUE(metal.ok()) << metal.status().message();
  auto cpu = CreateCpuReplica(spec, {train, held_out});
  ASSERT_TRUE(cpu.ok());
  for (uint32_t step = 0; step < 3; ++step) {
    std::vector<int32_t> scores(spec.population), wanted(spec.population);
    ASSERT_TRUE((*metal)->Evaluate({0, spec.pairs()}, {}, scores).ok());
    ASSERT_TRUE((*cpu)->Evaluate({0, spec.pairs()}, {}, wanted).ok());
    ASSERT_EQ(scores, wanted);
    const Commit commit = MakeCommit(spec, step, scores);
    ASSERT_TRUE((*metal)->Apply(commit).ok());
    ASSERT_TRUE((*cpu)->Apply(commit).ok());
    ASSERT_TRUE(*(*metal)->DigestOfAll() == *(*cpu)->DigestOfAll());
  }
  EXPECT_EQ((*metal)->step(), 3u);
  EXPECT_EQ(*(*metal)->Validate(2, 37, {}), *(*cpu)->Validate(2, 37, {}));
  RecurrentState a, b;
  for (const uint8_t token : {72, 101, 255}) {
    EXPECT_EQ(*(*metal)->Logits(token, a), *(*cpu)->Logits(token, b));
    EXPECT_EQ(a, b);
  }
}

// Of the width that everything is measured at, one layer of it.
TEST_P(Metal, TheReferencesWidth) {
  JobSpec spec = SmallSpec();
  spec.hidden = 256;
  spec.layers = 1;
  spec.population = 34;
  spec.group_size = 2;
  spec.window = 2;
  const auto train = RandomText(500, 3);
  auto metal = Create(spec, {train, {}});
  ASSERT_TRUE(metal.ok()) << metal.status().message();
  auto cpu = CreateCpuReplica(spec, {train, {}});
  ASSERT_TRUE(cpu.ok());
  std::vector<int32_t> scores(spec.population), wanted(spec.population);
  ASSERT_TRUE((*metal)->Evaluate({0, spec.pairs()}, {}, scores).ok());
  ASSERT_TRUE((*cpu)->Evaluate({0, spec.pairs()}, {}, wanted).ok());
  ASSERT_EQ(scores, wanted);
  const Commit commit = MakeCommit(spec, 0, scores);
  ASSERT_TRUE((*metal)->Apply(commit).ok());
  ASSERT_TRUE((*cpu)->Apply(commit).ok());
  EXPECT_TRUE(*(*metal)->DigestOfAll() == *(*cpu)->DigestOfAll());
}

TEST_P(Metal, SlicesInstalledElsewhereEqualApply) {
  JobSpec spec = SmallSpec();
  spec.rank = 3;
  auto applied = Create(spec, {}), sliced = Create(spec, {});
  ASSERT_TRUE(applied.ok() && sliced.ok());
  std::vector<int32_t> scores(spec.population);
  for (size_t i = 0; i < scores.size(); ++i) scores[i] = static_cast<int32_t>(i * 7 % 5);
  const Commit commit = MakeCommit(spec, 0, scores);
  const uint64_t bytes = (*applied)->model().bytes(), cut = bytes / 24 * 8;
  std::vector<int8_t> next(bytes);
  ASSERT_TRUE((*sliced)->UpdateSlice(commit, 0, std::span(next).first(cut)).ok());
  ASSERT_TRUE((*sliced)->UpdateSlice(commit, cut, std::span(next).subspan(cut)).ok());
  ASSERT_TRUE(*(*sliced)->DigestOfAll() == *(*applied)->DigestOfAll());
  ASSERT_TRUE((*applied)->Apply(commit).ok());
  ASSERT_TRUE((*sliced)->Install(0, next).ok());
  EXPECT_EQ(*(*sliced)->Snapshot(), *(*applied)->Snapshot());
  EXPECT_TRUE(*(*sliced)->DigestOf(cut, bytes - cut) == *(*applied)->DigestOf(cut, bytes - cut));
  EXPECT_TRUE(*(*sliced)->DigestOf(8, 0) == core::Digest{});
}

TEST_P(Metal, BadInputIsNamed) {
  const auto train = RandomText(100, 1);
  auto created = Create(SmallSpec(), {train, {}});
  ASSERT_TRUE(created.ok());
  Replica& r = **created;
  std::vector<int32_t> scores(2);
  EXPECT_EQ(r.Evaluate({5, 7}, {}, scores).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(r.Validate(0, 1, {}).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(r.DigestOf(4, 8).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(r.Restore(0, {}).code(), StatusCode::kInvalidArgument);
  RecurrentState state(1);
  EXPECT_EQ(r.Logits(0, state).status().code(), StatusCode::kInvalidArgument);
  Commit commit;
  commit.step = 1;
  EXPECT_EQ(r.Apply(commit).code(), StatusCode::kFailedPrecondition);
}

// ---- On fibers alone ----------------------------------------------------------------------------

// Kernels that lack a barrier, or read memory that nobody wrote, depend on the order of threads and
// on what lay in threadgroup memory.
TEST(MetalOnFibers, TheOrderOfThreadsDoesNotShow) {
  for (const uint32_t seed : {0u, 2u, 3u, 4u}) {
    for (const bool far : {false, true}) {
      Case c{SmallSpec()};
      c.spec.hidden = 33;
      c.spec.population = 40;
      MetalOptions options;
      options.far = far;
      options.work = PartOf(c.spec, 2);
      DeviceSettings settings;
      settings.seed = seed;
      SCOPED_TRACE(testing::Message() << "seed " << seed << " far " << far);
      ExpectSameAsOracle(c, 1, [&](const JobSpec& spec, DataView data) {
        return OnShim(spec, data, options, settings);
      });
      if (HasFatalFailure()) return;
    }
  }
}

// The mistake of other ports: thousands of launches a step. Of the default cut, a step of the size
// that a test can run is three dispatches and two waits.
TEST(MetalOnFibers, AStepIsFewDispatchesAndOneWaitEachForScoresAndUpdate) {
  JobSpec spec = SmallSpec();
  spec.population = 96;
  spec.group_size = 2;
  const auto train = RandomText(400, 1);
  shim::Counts counts;
  auto replica = OnShim(spec, {train, {}}, {}, {}, &counts);
  ASSERT_TRUE(replica.ok());
  std::vector<int32_t> scores(spec.population);
  ASSERT_TRUE((*replica)->Evaluate({0, spec.pairs()}, {}, scores).ok());  // allocates
  shim::Counts before = counts;
  ASSERT_TRUE((*replica)->Evaluate({0, spec.pairs()}, {}, scores).ok());
  EXPECT_EQ(counts.waits - before.waits, 1u);
  EXPECT_EQ(counts.dispatches - before.dispatches, 2u);  // the noise; all layers of all tokens
  EXPECT_EQ(counts.allocations, before.allocations);
  ASSERT_TRUE((*replica)->Apply(MakeCommit(spec, 0, scores)).ok());
  before = counts;
  ASSERT_TRUE((*replica)->Apply(MakeCommit(spec, 1, scores)).ok());
  EXPECT_EQ(counts.waits - before.waits, 1u);
  EXPECT_EQ(counts.dispatches - before.dispatches, 2u);  // matrices; all else
  EXPECT_EQ(counts.allocations, before.allocations);
}

TEST(MetalOnFibers, HeldOutStreamsOfSeveralGroups) {
  JobSpec spec = SmallSpec();
  spec.held_out_streams = 70;
  const auto held_out = RandomText(400, 2);
  MetalOptions options;
  options.groups = 1;  // of 32 streams
  const auto cut = OnShim(spec, {{}, held_out}, options), whole = OnShim(spec, {{}, held_out}, {});
  ASSERT_TRUE(cut.ok() && whole.ok());
  for (const uint32_t begin : {0u, 33u})
    EXPECT_TRUE(*(*cut)->Validate(begin, 70, {}) == *(*whole)->Validate(begin, 70, {})) << begin;
}

// No command buffer is longer than the cut says, however few members share it.
TEST(MetalOnFibers, NoPartIsLongerThanTheCut) {
  JobSpec spec = SmallSpec();
  spec.population = 80;
  spec.group_size = 2;
  spec.window = 40;
  const auto train = RandomText(400, 1), held_out = RandomText(120, 2);
  for (const uint32_t tokens : {1u, 7u, 1000u}) {
    MetalOptions options;
    options.work = PartOf(spec, tokens);
    shim::Counts counts;
    auto replica = OnShim(spec, {train, held_out}, options, {}, &counts);
    ASSERT_TRUE(replica.ok());
    std::vector<int32_t> scores(spec.population);
    ASSERT_TRUE((*replica)->Evaluate({0, spec.pairs()}, {}, scores).ok());
    EXPECT_EQ(counts.longest, 1024u * std::min(tokens, spec.burn_in + spec.window));
    counts.longest = 0;
    ASSERT_TRUE((*replica)->Validate(0, 1, {}).ok());  // one stream fills no GPU
    EXPECT_EQ(counts.longest, 1024u * std::min(tokens, 120 / spec.held_out_streams - 1));
    EXPECT_GE(counts.batches, 2u);
  }
}

// The default cut, for a model of the size that people train: its evaluation is planned and not
// run.
TEST(MetalOnFibers, ThePartsOfTheDefaultCutAreAsManyAsTheArithmeticSays) {
  JobSpec spec;  // egg 6 x 256: 6 x 12 x 256^2 + 256^2 = 4,784,128 multiply-adds a token
  spec.hidden = 256;
  spec.layers = 6;
  spec.population = 32768;
  spec.group_size = 2;
  spec.window = 100;
  spec.held_out_streams = 1;
  const std::vector<uint8_t> train(1000), held_out(1001);
  DeviceSettings settings;
  settings.dry = true;
  shim::Counts counts;
  const auto replica = OnShim(spec, {train, held_out}, {}, settings, &counts);
  ASSERT_TRUE(replica.ok()) << replica.status().message();
  // 256 threadgroups of 32 members, four times, each after its noise: 2^39 multiply-adds are 14
  // tokens of 8,192 members, and 100 tokens 8 parts of so many.
  std::vector<int32_t> scores(spec.population);
  ASSERT_TRUE((*replica)->Evaluate({0, spec.pairs()}, {}, scores).ok());
  EXPECT_EQ(counts.batches, 4u * (1 + 8));
  EXPECT_EQ(counts.dispatches, counts.batches);
  EXPECT_EQ(counts.longest, 14u * 8192);
  // One stream counts as the 1,024 members that fill a GPU: 112 tokens a part, 9 parts of 1,000.
  counts = {};
  ASSERT_TRUE((*replica)->Validate(0, 1, {}).ok());
  EXPECT_EQ(counts.batches, 9u);
  EXPECT_EQ(counts.longest, 112u * 1024);
}

TEST(MetalOnFibers, AGpuThatRoundsIsRefused) {
  EXPECT_TRUE(apple::CheckProducts(*shim::MakeDevice()).ok());
  DeviceSettings settings;
  settings.wrong_products = true;
  EXPECT_EQ(apple::CheckProducts(*shim::MakeDevice(settings)).message(),
            "the matrix units of Shim do not add int8 products exactly; use --backend cpu");
}

// Every kernel demands its threads of the compiler; should one still be given fewer, it is not run.
TEST(MetalOnFibers, AGpuOfSmallerThreadgroupsIsRefused) {
  EXPECT_TRUE(apple::CheckThreads(apple::Kernel::kEvaluateNear, 256, 32).ok());
  EXPECT_TRUE(apple::CheckThreads(apple::Kernel::kEvaluateNear, 1024, 32).ok());
  EXPECT_FALSE(apple::CheckThreads(apple::Kernel::kEvaluateNear, 256, 16).ok());
  EXPECT_EQ(apple::CheckThreads(apple::Kernel::kEvaluateNear, 192, 32).message(),
            "the GPU runs kernel EvaluateNear in groups of at most 192 threads, 32 at a time; it "
            "needs 256 and 32; use --backend cpu");
}

TEST(MetalOnFibers, TooLittleMemoryIsNamed) {
  DeviceSettings settings;
  settings.memory_bytes = 200'000;
  JobSpec spec = SmallSpec();
  spec.hidden = 256;
  const auto replica = OnShim(spec, {}, {}, settings);
  ASSERT_FALSE(replica.ok());
  EXPECT_EQ(replica.status().code(), StatusCode::kResourceExhausted);
}

#if !defined(__APPLE__)
TEST(MetalElsewhere, ThereIsNone) {
  const auto replica = CreateMetalReplica(SmallSpec(), DataView{});
  ASSERT_FALSE(replica.ok());
  EXPECT_EQ(replica.status().code(), StatusCode::kNotFound);
  EXPECT_EQ(replica.status().message(),
            "Metal is there on Apple machines only, and this is none; use --backend cpu or cuda");
}
#endif

}  // namespace
}  // namespace hatchery

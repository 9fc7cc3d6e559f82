// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <thread>

#include "cpu_fallback/cpu_replica.h"
#include "tests/cpu/tiny_jobs.h"

namespace hatchery {
namespace {

class CpuReplicaTest : public testing::Test {
 protected:
  std::unique_ptr<Replica> Make(const JobSpec& spec, unsigned threads = 2,
                                CpuProduct product = CpuProduct::kAuto) {
    auto replica = CreateCpuReplica(spec, {train_, held_out_}, {threads, product});
    EXPECT_TRUE(replica.ok()) << replica.status().message();
    return std::move(*replica);
  }
  std::vector<int32_t> Scores(Replica& r, Shard shard) {
    std::vector<int32_t> scores(2 * shard.pairs());
    EXPECT_TRUE(r.Evaluate(shard, {}, scores).ok());
    return scores;
  }

  const std::vector<uint8_t> train_ = RandomBytes(5000, 1), held_out_ = RandomBytes(333, 2);
};

// Three steps of training, the whole population a step.
core::Digest Train(Replica& r) {
  for (uint32_t step = 0; step < 3; ++step) {
    std::vector<int32_t> scores(r.spec().population);
    EXPECT_TRUE(r.Evaluate({0, r.spec().pairs()}, {}, scores).ok());
    EXPECT_TRUE(r.Apply(MakeSignCommit(r.spec(), step, EncodeSigns(scores))).ok());
  }
  return *r.DigestOfAll();
}

TEST_F(CpuReplicaTest, ProductsAndThreadCountsGiveTheSameBytes) {
  const JobSpec spec = TinyJob();
  const core::Digest digest = Train(*Make(spec, 1, CpuProduct::kPortable));
  EXPECT_FALSE(digest == *Make(spec)->DigestOfAll());
  EXPECT_TRUE(digest == Train(*Make(spec, 3, CpuProduct::kPortable)));
  EXPECT_TRUE(digest == Train(*Make(spec, 1)));
  EXPECT_TRUE(digest == Train(*Make(spec, 3)));
}

TEST_F(CpuReplicaTest, ScoresDoNotDependOnHowTheShardIsCut) {
  const auto r = Make(TinyJob());
  const auto whole = Scores(*r, {0, 12});
  std::vector<int32_t> parts;
  for (const Shard s : {Shard{0, 1}, {1, 6}, {6, 6}, {6, 12}})
    for (int32_t score : Scores(*r, s)) parts.push_back(score);
  EXPECT_EQ(whole, parts);
}

TEST_F(CpuReplicaTest, HeldOutSumsAddUpAndCountEveryToken) {
  const auto r = Make(TinyJob());
  const auto whole = r->Validate(0, 5, {});
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->tokens, 5u * (333 / 5 - 1));
  EXPECT_LT(whole->score, 0);
  HeldOutSums sum = *r->Validate(0, 2, {});
  sum += *r->Validate(2, 5, {});
  EXPECT_EQ(sum, *whole);
}

TEST_F(CpuReplicaTest, LogitsFollowTheHeldOutStream) {
  const auto r = Make(TinyJob());
  ASSERT_TRUE(r->Apply(RandomCommit(r->spec(), 0)).ok());
  RecurrentState state(2 * 20, 0);
  HeldOutSums sums;
  for (size_t t = 0; t + 1 < 333 / 5; ++t) {
    const auto logits = r->Logits(held_out_[t], state);
    ASSERT_TRUE(logits.ok());
    sums.correct +=
        std::max_element(logits->begin(), logits->end()) - logits->begin() == held_out_[t + 1];
    ++sums.tokens;
  }
  const HeldOutSums first = *r->Validate(0, 1, {});
  EXPECT_EQ(sums.correct, first.correct);
  EXPECT_EQ(sums.tokens, first.tokens);
}

TEST_F(CpuReplicaTest, SlicesInstalledElsewhereEqualApply) {
  for (auto noise : {core::Noise::kRademacher, core::Noise::kGaussian}) {
    JobSpec spec = TinyJob();
    spec.noise = noise;
    spec.rank = 3;
    spec.fitness = FitnessRule::kNormalized;
    const auto applied = Make(spec), sliced = Make(spec);
    const Commit commit = RandomCommit(spec, 0);
    const uint64_t bytes = applied->model().bytes();
    std::vector<int8_t> next(bytes);
    for (uint64_t at = 0, size = 8; at < bytes; at += size, size = size * 3 / 8 * 8 + 40) {
      size = std::min(size, bytes - at);
      ASSERT_TRUE(sliced->UpdateSlice(commit, at, std::span(next).subspan(at, size)).ok());
    }
    EXPECT_TRUE(*sliced->DigestOfAll() == *applied->DigestOfAll());
    ASSERT_TRUE(applied->Apply(commit).ok());
    ASSERT_TRUE(sliced->Install(0, next).ok());
    EXPECT_EQ(*sliced->Snapshot(), *applied->Snapshot());
    EXPECT_TRUE(*sliced->DigestOfAll() == *applied->DigestOfAll());
  }
}

TEST_F(CpuReplicaTest, SnapshotAndRestoreAreARoundTrip) {
  const auto a = Make(TinyJob()), b = Make(TinyJob());
  Train(*a);
  Scores(*b, {0, 2});
  ASSERT_TRUE(b->Restore(a->step(), *a->Snapshot()).ok());
  EXPECT_EQ(b->step(), 3u);
  EXPECT_EQ(Scores(*a, {0, 12}), Scores(*b, {0, 12}));
  EXPECT_EQ(b->Restore(0, {}).code(), StatusCode::kInvalidArgument);
}

TEST_F(CpuReplicaTest, AStopTokenCancels) {
  JobSpec spec = TinyJob();
  spec.window = 2000;
  spec.population = 4096;
  const auto r = Make(spec);
  std::stop_source stop;
  std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    stop.request_stop();
  });
  std::vector<int32_t> scores(spec.population);
  EXPECT_EQ(r->Evaluate({0, spec.pairs()}, stop.get_token(), scores).code(),
            StatusCode::kCancelled);
  EXPECT_EQ(r->Validate(0, 5, stop.get_token()).status().code(), StatusCode::kCancelled);
}

TEST_F(CpuReplicaTest, WithoutDataItReplaysAndSamplesButDoesNotScore) {
  auto r = CreateCpuReplica(TinyJob(), {}, {});
  ASSERT_TRUE(r.ok());
  std::vector<int32_t> scores(2);
  EXPECT_EQ((*r)->Evaluate({0, 1}, {}, scores).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ((*r)->Validate(0, 1, {}).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE((*r)->Apply(RandomCommit((*r)->spec(), 0)).ok());
  EXPECT_EQ((*r)->Apply(RandomCommit((*r)->spec(), 0)).code(), StatusCode::kFailedPrecondition);
  RecurrentState state(40, 0);
  EXPECT_TRUE((*r)->Logits('a', state).ok());
}

TEST_F(CpuReplicaTest, BadInputIsNamed) {
  const auto r = Make(TinyJob());
  std::vector<int32_t> scores(2);
  EXPECT_EQ(r->Evaluate({11, 13}, {}, scores).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(r->Evaluate({0, 2}, {}, scores).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(r->Validate(0, 6, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(r->DigestOf(4, 8).status().code(), StatusCode::kInvalidArgument);
  RecurrentState state(1);
  EXPECT_EQ(r->Logits(0, state).status().code(), StatusCode::kInvalidArgument);
  Commit commit = RandomCommit(r->spec(), 0);
  commit.fitness.pop_back();
  EXPECT_EQ(r->Apply(commit).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hatchery

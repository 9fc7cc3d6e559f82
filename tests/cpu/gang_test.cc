// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A gang of CPU replicas against one of them.
#include "kernels/gang.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "cpu_fallback/cpu_replica.h"
#include "tests/cpu/tiny_jobs.h"

namespace hatchery {
namespace {

using testing::HasSubstr;

// What goes wrong at a member.
struct Faults {
  Status evaluate = {}, apply = {};
  bool wrong_update = false;  // a weight moves that should not
};

class FaultyReplica : public Replica {
 public:
  FaultyReplica(std::unique_ptr<Replica> base, const Faults& faults)
      : base_(std::move(base)), faults_(faults) {}
  const JobSpec& spec() const override { return base_->spec(); }
  const Model& model() const override { return base_->model(); }
  uint32_t step() const override { return base_->step(); }
  std::string Description() const override { return "faulty"; }
  uint32_t RoundPairs() const override { return 7; }
  Status Evaluate(Shard shard, std::stop_token stop, std::span<int32_t> scores) override {
    HATCHERY_RETURN_IF_ERROR(faults_.evaluate);
    return base_->Evaluate(shard, stop, scores);
  }
  StatusOr<HeldOutSums> Validate(uint32_t begin, uint32_t end, std::stop_token stop) override {
    return base_->Validate(begin, end, stop);
  }
  Status Apply(const Commit& commit) override {
    HATCHERY_RETURN_IF_ERROR(faults_.apply);
    HATCHERY_RETURN_IF_ERROR(base_->Apply(commit));
    if (!faults_.wrong_update) return {};
    HATCHERY_ASSIGN_OR_RETURN(auto weights, base_->Snapshot());
    weights[5] = static_cast<int8_t>(weights[5] ^ 1);
    return base_->Install(0, std::span(weights).first(8));
  }
  Status UpdateSlice(const Commit& commit, uint64_t offset, std::span<int8_t> out) override {
    return base_->UpdateSlice(commit, offset, out);
  }
  Status Install(uint64_t offset, std::span<const int8_t> bytes) override {
    return base_->Install(offset, bytes);
  }
  StatusOr<core::Digest> DigestOf(uint64_t offset, uint64_t size) override {
    return base_->DigestOf(offset, size);
  }
  StatusOr<std::vector<int8_t>> Snapshot() override { return base_->Snapshot(); }
  Status Restore(uint32_t step, std::span<const int8_t> weights) override {
    return base_->Restore(step, weights);
  }
  StatusOr<std::vector<int8_t>> Logits(uint8_t token, RecurrentState& state) override {
    return base_->Logits(token, state);
  }

 private:
  const std::unique_ptr<Replica> base_;
  const Faults faults_;
};

class GangTest : public testing::Test {
 protected:
  MakeMember Maker(const JobSpec& spec) const {
    return [this, spec] { return CreateCpuReplica(spec, {train_, held_out_}, {.threads = 1}); };
  }
  MakeMember FaultyMaker(const JobSpec& spec, Faults faults) const {
    return [this, spec, faults]() -> StatusOr<std::unique_ptr<Replica>> {
      HATCHERY_ASSIGN_OR_RETURN(auto base, Maker(spec)());
      return std::unique_ptr<Replica>(std::make_unique<FaultyReplica>(std::move(base), faults));
    };
  }
  std::unique_ptr<Replica> One(const JobSpec& spec) const { return std::move(*Maker(spec)()); }
  static std::unique_ptr<Replica> Gang(const std::vector<MakeMember>& makers) {
    auto gang = CreateGang(makers);
    EXPECT_TRUE(gang.ok()) << gang.status().message();
    return std::move(*gang);
  }
  std::unique_ptr<Replica> Gang(const JobSpec& spec, size_t members) const {
    return Gang(std::vector<MakeMember>(members, Maker(spec)));
  }
  // Two members, the second faulty.
  std::unique_ptr<Replica> GangWith(const Faults& faults) const {
    return Gang({Maker(TinyJob()), FaultyMaker(TinyJob(), faults)});
  }
  static std::vector<int32_t> Scores(Replica& replica, Shard shard) {
    std::vector<int32_t> scores(2 * size_t{shard.pairs()}, 12345);
    const Status status = replica.Evaluate(shard, {}, scores);
    EXPECT_TRUE(status.ok()) << status.message();
    return scores;
  }

  const std::vector<uint8_t> train_ = RandomBytes(5000, 1), held_out_ = RandomBytes(333, 2);
};

TEST(PartOf, CoversEveryRangeOnce) {
  for (uint32_t parts = 1; parts < 9; ++parts)
    for (uint32_t size = 0; size < 40; ++size) {
      uint64_t at = 3;
      for (uint32_t part = 0; part < parts; ++part) {
        const GangPart got = PartOf(3, 3 + size, part, parts);
        EXPECT_EQ(got.begin, at);
        EXPECT_LE(got.size(), PartOf(3, 3 + size, 0, parts).size());
        EXPECT_LE(PartOf(3, 3 + size, 0, parts).size(), got.size() + 1);
        at = got.end;
      }
      EXPECT_EQ(at, 3 + size);
    }
}

TEST_F(GangTest, TrainsToTheBytesOfOneReplica) {
  for (const auto rule : {FitnessRule::kSign, FitnessRule::kNormalized}) {
    JobSpec spec = TinyJob();
    spec.fitness = rule;
    const auto one = One(spec);
    std::vector<std::unique_ptr<Replica>> gangs;
    for (const size_t members : {1, 2, 3, 5, 17}) gangs.push_back(Gang(spec, members));
    for (uint32_t step = 0; step < 3; ++step) {
      const auto scores = Scores(*one, {0, spec.pairs()});
      const Commit commit = rule == FitnessRule::kSign
                                ? MakeSignCommit(spec, step, EncodeSigns(scores))
                                : MakeNormalizedCommit(spec, step, scores);
      ASSERT_TRUE(one->Apply(commit).ok());
      for (const auto& gang : gangs) {
        ASSERT_EQ(Scores(*gang, {0, spec.pairs()}), scores);
        ASSERT_TRUE(gang->Apply(commit).ok());
        ASSERT_EQ(gang->step(), step + 1);
        ASSERT_TRUE(*gang->DigestOfAll() == *one->DigestOfAll());
        ASSERT_EQ(*gang->Snapshot(), *one->Snapshot());
        ASSERT_EQ(*gang->Validate(0, 5, {}), *one->Validate(0, 5, {}));
      }
    }
  }
}

TEST_F(GangTest, ARoundIsThatOfEveryMember) {
  EXPECT_EQ(Gang(TinyJob(), 3)->RoundPairs(), 3u);
  const MakeMember member = FaultyMaker(TinyJob(), {});
  EXPECT_EQ(Gang({member, member})->RoundPairs(), 14u);
}

TEST_F(GangTest, RaggedAndTinyShards) {
  const auto one = One(TinyJob()), gang = Gang(TinyJob(), 3);
  for (const Shard shard : {Shard{0, 1}, {4, 6}, {5, 12}, {1, 11}, {7, 7}})
    EXPECT_EQ(Scores(*gang, shard), Scores(*one, shard)) << shard.begin << " " << shard.end;
  for (uint32_t end = 1; end <= 5; ++end)
    EXPECT_EQ(*gang->Validate(1, end, {}), *one->Validate(1, end, {}));
}

TEST_F(GangTest, SlicesRestoreAndLogits) {
  const auto one = One(TinyJob()), gang = Gang(TinyJob(), 2);
  const Commit commit = RandomCommit(TinyJob(), 0);
  std::vector<int8_t> next(one->model().bytes());
  ASSERT_TRUE(gang->UpdateSlice(commit, 0, next).ok());
  ASSERT_TRUE(one->Apply(commit).ok());
  EXPECT_EQ(next, *one->Snapshot());
  ASSERT_TRUE(gang->Install(0, next).ok());
  EXPECT_TRUE(*gang->DigestOf(8, 800) == *one->DigestOf(8, 800));
  ASSERT_TRUE(gang->Restore(7, next).ok());
  EXPECT_EQ(gang->step(), 7u);
  ASSERT_TRUE(one->Restore(7, next).ok());
  EXPECT_EQ(Scores(*gang, {0, 12}), Scores(*one, {0, 12}));
  RecurrentState a, b;
  a.assign(40, 0);
  b.assign(40, 0);
  EXPECT_EQ(*gang->Logits('x', a), *one->Logits('x', b));
}

TEST_F(GangTest, AStopTokenStopsEveryMember) {
  JobSpec spec = TinyJob();
  spec.window = 2000;
  spec.population = 4096;
  const auto gang = Gang(spec, 2);
  std::stop_source stop;
  std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    stop.request_stop();
  });
  std::vector<int32_t> scores(spec.population);
  EXPECT_EQ(gang->Evaluate({0, spec.pairs()}, stop.get_token(), scores).code(),
            StatusCode::kCancelled);
  EXPECT_EQ(gang->Validate(0, 5, stop.get_token()).status().code(), StatusCode::kCancelled);
}

TEST_F(GangTest, AFailingMemberIsNamedAndStopsTheOthers) {
  JobSpec spec = TinyJob();
  spec.window = 4000;  // far longer than a test may take
  spec.population = 1 << 20;
  const auto gang =
      Gang({Maker(spec), FaultyMaker(spec, {.evaluate = InternalError("it caught fire")})});
  std::vector<int32_t> scores(spec.population);
  const Status status = gang->Evaluate({0, spec.pairs()}, {}, scores);
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("member 1, faulty,"));
  EXPECT_THAT(status.message(), HasSubstr("it caught fire"));
}

TEST_F(GangTest, MembersThatDifferAreFound) {
  const auto gang = GangWith({.wrong_update = true});
  ASSERT_TRUE(gang->Apply(RandomCommit(TinyJob(), 0)).ok());
  const auto digest = gang->DigestOfAll();
  ASSERT_FALSE(digest.ok());
  EXPECT_EQ(digest.status().code(), StatusCode::kDataLoss);
  EXPECT_THAT(digest.status().message(), HasSubstr("member 1, faulty,"));
}

TEST_F(GangTest, AHalfDoneChangeIsNotTrainedOn) {
  const auto gang = GangWith({.apply = InternalError("no update today")});
  const auto before = *gang->Snapshot();
  EXPECT_EQ(gang->Apply(RandomCommit(TinyJob(), 0)).code(), StatusCode::kInternal);
  std::vector<int32_t> scores(2);
  const Status later = gang->Evaluate({0, 1}, {}, scores);
  EXPECT_EQ(later.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(later.message(), HasSubstr("no update today"));
  EXPECT_FALSE(gang->DigestOfAll().ok());
  ASSERT_TRUE(gang->Restore(0, before).ok());
  EXPECT_TRUE(gang->Evaluate({0, 1}, {}, scores).ok());
}

TEST_F(GangTest, BadInputChangesNothing) {
  const auto gang = Gang(TinyJob(), 2);
  std::vector<int32_t> scores(4);
  EXPECT_EQ(gang->Evaluate({11, 13}, {}, scores).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(gang->Evaluate({0, 1}, {}, scores).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(gang->Evaluate({2, 1}, {}, scores).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(gang->Validate(0, 6, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(gang->Apply(RandomCommit(TinyJob(), 1)).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(gang->Restore(0, {}).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(gang->Apply(RandomCommit(TinyJob(), 0)).ok());
}

TEST_F(GangTest, AMemberThatCannotBeMadeIsTheReason) {
  JobSpec spec = TinyJob();
  const auto gang = CreateGang({Maker(spec), []() -> StatusOr<std::unique_ptr<Replica>> {
                                  return ResourceExhausted("the GPU is full");
                                }});
  ASSERT_FALSE(gang.ok());
  EXPECT_EQ(gang.status().message(), "the GPU is full");
}

}  // namespace
}  // namespace hatchery

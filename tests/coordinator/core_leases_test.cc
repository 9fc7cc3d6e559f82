// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Leases: who gets how much, and what becomes of those of the dead, the stuck and the deaf.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/job.h"
#include "tests/coordinator/fake_world.h"

namespace hatchery::coordinator {
namespace {

using testing::ElementsAre;
using State = v1::JobState;

TEST(CoreTest, ADeadWorkersLeasesGoToTheOthers) {
  FakeWorld world;
  StartJob(world, 6, {"x", "y"}, 2);
  world.workers["x"].stuck = true;
  world.RunToEnd(10, 20);
  world.Leave("x");
  world.Join("z");
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_EQ(world.commits["a"], [] {
    FakeWorld alone;
    alone.Submit("a", FakeWorld::MakeJob(6));
    alone.Join("w");
    alone.RunToEnd();
    return alone.commits["a"];
  }());
}

TEST(CoreTest, AStuckWorkersLeasesAreHedged) {
  FakeWorld world;
  StartJob(world, 6, {"x", "y"}, 2);
  world.workers["x"].stuck = true;
  const int64_t before = world.now;
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_LT(world.now - before, 10'000) << "hedged, not expired";
}

TEST(CoreTest, WhoIsStuckDoesNotGetWhatAnotherStuckOneHeld) {
  CoreOptions options;
  options.audit_share = 0.5;
  FakeWorld world(options);
  StartJob(world, 12, {"a", "b", "c", "x", "y"}, 2);
  for (const char* id : {"a", "b", "c"}) world.workers[id].stuck = true;
  const int64_t before = world.now;
  RunToStep(world, "a", 4);  // they still report on step 3, having read no further
  EXPECT_LT(world.now - before, 5'000);
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_EQ(world.commits["a"], Honest(12));
}

TEST(CoreTest, WhoDoesNotReadGetsNoMoreWork) {
  FakeWorld world;
  StartJob(world, 12, {"x", "y", "z"}, 2);
  world.workers["z"].stuck = true;
  RunToStep(world, "a", 5);  // what it held is hedged
  const int64_t before = world.now;
  RunToStep(world, "a", 8);
  EXPECT_LT(world.now - before, 500) << "nobody waits for it any more";
  world.workers["z"].stuck = false;
  const uint64_t results = world.workers["z"].results;
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_GT(world.workers["z"].results, results) << "it caught up";
}

TEST(CoreTest, EveryOneOfManyGetsAShare) {
  FakeWorld world;
  constexpr uint32_t kWorkers = 300;
  world.Submit("a", FakeWorld::MakeJob(2, 40 * kWorkers));
  for (uint32_t w = 0; w < kWorkers; ++w) world.Join(std::to_string(w));
  for (uint32_t w = 0; w < kWorkers; ++w) world.Work(std::to_string(w));  // Welcome
  for (uint32_t w = 0; w < kWorkers; ++w) world.Work(std::to_string(w));  // Assign: it is ready
  for (const v1::WorkerState& worker : world.core.Workers())
    EXPECT_EQ(worker.state(), "working") << worker.worker_id();
}

// How many pairs, or held-out streams, the worker was lent at a time for a step.
std::vector<uint32_t> SizesAt(const FakeWorker& worker, uint32_t step, bool held_out = false) {
  std::vector<uint32_t> sizes;
  for (const v1::Lease& lease : worker.worked)
    if (lease.step() == step && lease.has_held_out() == held_out)
      sizes.push_back(held_out ? lease.held_out().end() - lease.held_out().begin()
                               : lease.pairs().end() - lease.pairs().begin());
  return sizes;
}

// A job of 1000 pairs and 10 held-out streams done by one worker.
FakeWorker Alone(uint32_t round_pairs, double pair_seconds) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(5, 2000));
  world.Join("w");
  world.workers["w"].round_pairs = round_pairs;
  world.workers["w"].pair_seconds = pair_seconds;
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  return world.workers["w"];
}

TEST(CoreTest, AShortStepOfALoneWorkerIsOneLease) {
  const FakeWorker worker = Alone(0, 0.0005);
  EXPECT_GT(SizesAt(worker, 0).size(), 1u) << "nobody knew its speed";
  EXPECT_THAT(SizesAt(worker, 4), ElementsAre(1000));
  EXPECT_THAT(SizesAt(worker, 4, true), ElementsAre(10));
  EXPECT_THAT(SizesAt(Alone(0, 0.01), 4), ElementsAre(250, 250, 250, 250));
}

TEST(CoreTest, LeasesAreWholeRounds) {
  const auto sizes = [](uint32_t round) { return SizesAt(Alone(round, 0.01), 4); };
  EXPECT_THAT(sizes(1), ElementsAre(250, 250, 250, 250));
  EXPECT_THAT(sizes(88), ElementsAre(260, 260, 260, 220)) << "three are 264";
  EXPECT_THAT(sizes(400), ElementsAre(400, 400, 200));
  EXPECT_THAT(sizes(1000), ElementsAre(1000));
  EXPECT_THAT(sizes(5000), ElementsAre(1000));
}

TEST(CoreTest, EveryOneOfSeveralGetsItsRound) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(9, 2000));
  for (const char* id : {"x", "y", "z"}) {
    world.Join(id);
    world.workers[id].round_pairs = 350;
    world.workers[id].pair_seconds = 0.01;
  }
  world.RunToEnd();
  std::vector<uint32_t> sizes;
  for (const auto& [id, worker] : world.workers) {
    EXPECT_EQ(SizesAt(worker, 8).size(), 1u) << id;
    for (const uint32_t size : SizesAt(worker, 8)) sizes.push_back(size);
  }
  EXPECT_THAT(sizes, testing::UnorderedElementsAre(350, 350, 300));
}

TEST(CoreTest, NoClaimGetsAWorkerMoreThanItsShare) {
  const auto commits = [](uint32_t claim) {
    FakeWorld world;
    world.Submit("a", FakeWorld::MakeJob(6, 2000));
    for (const char* id : {"v", "w", "x", "y", "z"}) {
      world.Join(id);
      world.workers[id].pair_seconds = 0.01;
    }
    world.workers["v"].round_pairs = claim;
    world.RunToEnd();
    EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
    for (const auto& [id, worker] : world.workers) {
      EXPECT_FALSE(worker.closed) << claim << " " << id;
      EXPECT_GT(worker.results, 0u) << claim << " " << id;
    }
    for (const uint32_t size : SizesAt(world.workers["v"], 5)) EXPECT_LE(size, 280u) << claim;
    return world.commits["a"];
  };
  const auto honest = commits(0);
  for (const uint32_t claim : {2u, 7u, 1u << 23, 1u << 31, UINT32_MAX})
    EXPECT_EQ(commits(claim), honest) << claim;
}

TEST(CoreTest, ALoneStuckWorkersLeasesExpire) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(2));
  world.Join("x");
  world.workers["x"].stuck = true;
  world.RunToEnd(1000, 100);
  EXPECT_TRUE(world.Has("lease_expired"));
  world.workers["x"].stuck = false;
  // Its results are late now, and ignored; it works on what it is lent next.
  world.RunToEnd(1000, 3000);
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
}

TEST(CoreTest, LateAndDuplicateResultsAreNoErrors) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(4));
  world.Join("x");
  world.Join("y");
  world.workers["x"].stuck = true;
  for (int i = 0; i < 50 && world.workers["x"].held.empty(); ++i) world.Work("x");
  ASSERT_FALSE(world.workers["x"].held.empty());
  const v1::Lease lease = world.workers["x"].held.front();
  const auto result = world.ResultFor(world.workers["x"], lease);
  world.Say("x", result);
  world.Say("x", result);  // twice
  EXPECT_FALSE(world.Has("shard_disputed"));
  world.workers["x"].stuck = false;
  RunToStep(world, "a", 2);
  world.Say("x", result);  // of an old step
  EXPECT_FALSE(world.workers["x"].closed);
}

TEST(CoreTest, MalformedAndFutureResultsCloseTheWorkerAndLoseNothing) {
  const auto spoil = [](int kind, v1::Result& result) {
    v1::ShardScores& scores = *result.mutable_scores();
    if (kind == 0) result.set_step(result.step() + 1);
    if (kind == 1) scores.mutable_trits()->push_back('\x79');
    if (kind == 2) (*scores.mutable_trits())[0] = '\xff';
    if (kind == 3) scores.set_end(scores.end() + 5);
    if (kind == 4) result.set_digest("short");
    if (kind == 5) result.mutable_held_out()->set_tokens(3);
    if (kind == 6) scores.add_scores(1);
  };
  for (int kind = 0; kind < 7; ++kind) {
    FakeWorld world;
    world.Submit("a", FakeWorld::MakeJob(3));
    world.Join("x");
    world.workers["x"].stuck = true;
    for (int i = 0; i < 50 && world.workers["x"].held.empty(); ++i) world.Work("x");
    ASSERT_FALSE(world.workers["x"].held.empty());
    auto message = world.ResultFor(world.workers["x"], world.workers["x"].held.front());
    spoil(kind, *message.mutable_result());
    world.Say("x", message);
    EXPECT_TRUE(world.workers["x"].closed) << kind;
    EXPECT_EQ(world.workers["x"].close_status.code(), StatusCode::kInvalidArgument) << kind;
    world.workers.erase("x");
    world.Join("y");
    world.RunToEnd();
    EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED) << kind;
  }
}

}  // namespace
}  // namespace hatchery::coordinator

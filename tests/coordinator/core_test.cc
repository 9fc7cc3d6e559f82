// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/job.h"
#include "tests/coordinator/fake_world.h"

namespace hatchery::coordinator {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using State = v1::JobState;

std::vector<CommitRecord> CommitsOf(uint32_t workers, bool reverse, v1::FitnessRule rule) {
  FakeWorld world;
  world.reverse = reverse;
  v1::Job job = FakeWorld::MakeJob(7);
  job.set_fitness(rule);
  world.Submit("a", job);
  for (uint32_t w = 0; w < workers; ++w) world.Join(std::string(1, static_cast<char>('p' + w)));
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  for (const auto& [id, worker] : world.workers) EXPECT_GT(worker.results, 0u) << id;
  return world.commits["a"];
}

// Runs until the job is at `step`.
void RunToStep(FakeWorld& world, const std::string& job, uint32_t step) {
  for (int i = 0; i < 5000 && world.core.Job(job)->step() < step; ++i) world.RunToEnd(10, 1);
  ASSERT_GE(world.core.Job(job)->step(), step);
}

// Job "a" of so many steps, taken up by these workers, at `step`.
void StartJob(FakeWorld& world, uint32_t steps, const std::vector<std::string>& workers,
              uint32_t step) {
  world.Submit("a", FakeWorld::MakeJob(steps));
  for (const std::string& id : workers) world.Join(id);
  RunToStep(world, "a", step);
}

// The commits that honest workers come to.
std::vector<CommitRecord> Honest(uint32_t steps) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(steps));
  world.Join("w");
  world.RunToEnd();
  return world.commits["a"];
}

TEST(CoreTest, OneWorkerFinishesAJob) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(7));
  world.Join("w");
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  ASSERT_EQ(world.commits["a"].size(), 7u);
  for (const CommitRecord& record : world.commits["a"])
    EXPECT_EQ(record.held_out.has_value(), record.commit.step % 2 == 0);
  ASSERT_TRUE(world.closings["a"].held_out.has_value());
  EXPECT_EQ(world.closings["a"].held_out->tokens, 990u);
  EXPECT_EQ(world.closings["a"].step, 7u);
  EXPECT_THAT(world.checkpoints["a"], ElementsAre(3, 6, 7));
}

TEST(CoreTest, CommitsDependNeitherOnWorkersNorOnOrder) {
  for (const v1::FitnessRule rule : {v1::SIGN, v1::NORMALIZED}) {
    const auto one = CommitsOf(1, false, rule);
    EXPECT_EQ(one, CommitsOf(3, false, rule));
    EXPECT_EQ(one, CommitsOf(5, true, rule));
  }
}

TEST(CoreTest, WithoutHeldOutDataTheClosingStepAsksForTheDigestAlone) {
  FakeWorld world;
  v1::Job job = FakeWorld::MakeJob(2);
  job.clear_held_out();
  world.Submit("a", job);
  world.Join("w");
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_FALSE(world.closings["a"].held_out.has_value());
}

TEST(CoreTest, ACheckpointIsAskedForBetweenItsCommits) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(4));
  world.Join("w");
  world.RunToEnd();
  EXPECT_THAT(world.workers["w"].order, ElementsAre("commit 0", "commit 1", "commit 2",
                                                    "checkpoint 3", "commit 3", "checkpoint 4"));
}

TEST(CoreTest, NothingIsAnnouncedBeforeItIsDurable) {
  FakeWorld world;
  world.auto_sync = false;
  world.Submit("a", FakeWorld::MakeJob(2));
  world.Join("w");
  world.RunToEnd(10, 200);
  EXPECT_EQ(world.appends.size(), 1u);
  EXPECT_EQ(world.core.Job("a")->step(), 0u);
  EXPECT_TRUE(world.workers["w"].order.empty());
  world.auto_sync = true;
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
}

TEST(CoreTest, AFullDiskPausesAndResumeAppendsTheSameRecord) {
  FakeWorld world;
  world.disk_full = true;
  world.Submit("a", FakeWorld::MakeJob(3));
  world.Join("w");
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::PAUSED);
  EXPECT_THAT(world.core.Job("a")->reason(), HasSubstr("disk is full"));
  world.disk_full = false;
  auto actions = world.core.Resume(world.now, "a");
  ASSERT_TRUE(actions.ok());
  world.Do(*actions);
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_EQ(world.commits["a"].size(), 3u);
}

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

TEST(CoreTest, AMinorityDigestIsQuarantined) {
  FakeWorld world;
  StartJob(world, 6, {"x", "y", "z"}, 2);
  world.workers["z"].wrong_from = 3;
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_TRUE(world.Has("digest_disputed"));
  EXPECT_TRUE(world.Has("quarantined"));
  EXPECT_FALSE(world.Has("referee_asked"));
  EXPECT_EQ(world.workers["z"].reloads, 1u);
  EXPECT_EQ(world.commits["a"], Honest(6));
}

TEST(CoreTest, TheRefereeDecidesBetweenTwo) {
  for (const bool reverse : {false, true}) {  // whoever reports first
    FakeWorld world;
    world.reverse = reverse;
    StartJob(world, 6, {"x", "y"}, 2);
    world.workers["x"].wrong_from = 3;
    world.RunToEnd();
    EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
    EXPECT_TRUE(world.Has("referee_said"));
    EXPECT_EQ(world.workers["x"].reloads, 1u);
    EXPECT_EQ(world.workers["y"].reloads, 0u);
    EXPECT_EQ(world.commits["a"], Honest(6));
  }
}

TEST(CoreTest, TheSecondTimeItIsSentAwayAndStaysAway) {
  FakeWorld world;
  StartJob(world, 9, {"x", "y", "z"}, 2);
  world.workers["z"].wrong_from = 3;
  RunToStep(world, "a", 5);
  EXPECT_FALSE(world.workers["z"].closed);
  world.workers["z"].wrong_from = 6;
  world.RunToEnd();
  EXPECT_TRUE(world.workers["z"].closed);
  EXPECT_EQ(world.workers["z"].close_status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(world.Has("expelled"));
  EXPECT_EQ(world.commits["a"], Honest(9));
  world.Join("z");
  EXPECT_TRUE(world.workers["z"].closed);
}

TEST(CoreTest, WhatANameDidIsRememberedOverARestart) {
  CoreOptions options;
  options.strikes = {{"y", 1}, {"z", 2}};
  FakeWorld world(options);
  world.Join("z");
  EXPECT_TRUE(world.workers["z"].closed);
  EXPECT_THAT(world.workers["z"].close_status.message(), HasSubstr("--name"));
  StartJob(world, 6, {"w", "x", "y"}, 2);
  world.workers["y"].wrong_from = 3;
  world.RunToEnd();
  EXPECT_TRUE(world.workers["y"].closed) << "the second time";
  EXPECT_EQ(world.strikes["y"], 2u);
  EXPECT_EQ(world.commits["a"], Honest(6));
}

TEST(CoreTest, AWorkerWhoseMemoryChangesIsFoundEvenAlone) {
  FakeWorld world;
  StartJob(world, 6, {"x"}, 3);
  for (int i = 0; i < 100 && !(world.workers["x"].step == 3 && world.workers["x"].inbox.empty());
       ++i)
    world.Work("x");
  world.workers["x"].wrong_from = 3;  // it has voted for step 3 before
  world.SayReady("x", world.workers["x"]);
  world.RunToEnd();
  EXPECT_TRUE(world.Has("quarantined"));
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_EQ(world.commits["a"], Honest(6));
}

TEST(CoreTest, NoCommitBeforeTwoAgree) {
  FakeWorld world;
  StartJob(world, 6, {"x", "y"}, 2);
  world.workers["y"].stuck = true;  // it says nothing any more
  world.RunToEnd(10, 100);
  EXPECT_LE(world.core.Job("a")->step(), 3u) << "y may have voted for step 2, not for step 3";
  world.RunToEnd(10, 1000);
  EXPECT_TRUE(world.Has("worker_lags"));
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
}

TEST(CoreTest, ALoneWorkersWrongCommitIsFoundWhenASecondComes) {
  FakeWorld world;
  StartJob(world, 9, {"x"}, 1);
  world.workers["x"].wrong_from = 2;  // wrong before it votes
  RunToStep(world, "a", 3);
  v1::WorkerMessage message;  // y cannot follow the journal
  world.Join("y");
  world.Work("y");
  world.Work("y");
  v1::Failure& failure = *message.mutable_failure();
  failure.set_job_id("a");
  failure.set_step(2);
  failure.set_digest(FakeWorld::DigestAt(2));
  world.Say("y", message);
  world.Judge();
  EXPECT_EQ(world.core.Job("a")->state(), State::PAUSED);
  EXPECT_THAT(world.core.Job("a")->reason(), HasSubstr("fsck"));
}

TEST(CoreTest, WithoutARefereeATieEndsInAPause) {
  CoreOptions options;
  options.referee = false;
  FakeWorld world(options);
  StartJob(world, 6, {"x", "y"}, 2);
  world.workers["x"].wrong_from = 3;
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::PAUSED);
  EXPECT_LE(world.commits["a"].size(), 3u);
  EXPECT_THAT(world.core.Job("a")->reason(), HasSubstr("referee"));
}

TEST(CoreTest, AnAuditFindsALiarWhoeverItIs) {
  for (const char* liar : {"x", "y"}) {
    CoreOptions options;
    options.audit_share = 1;
    FakeWorld world(options);
    StartJob(world, 9, {"x", "y"}, 2);
    world.workers[liar].lies_from = 3;
    world.RunToEnd();
    EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
    EXPECT_TRUE(world.Has("shard_disputed"));
    EXPECT_TRUE(world.Has("quarantined"));
    EXPECT_TRUE(world.workers[liar].closed) << "it lied again";
    EXPECT_EQ(world.commits["a"], Honest(9));
    EXPECT_GT(world.core.Job("a")->shards_audited(), 0u);
  }
}

TEST(CoreTest, AnAuditFindsALiarAboutHeldOutSums) {
  for (const char* liar : {"x", "y"}) {
    CoreOptions options;
    options.audit_share = 1;
    FakeWorld world(options);
    StartJob(world, 9, {"x", "y"}, 1);
    world.workers[liar].lies_from = 2;
    world.workers[liar].lies_of_held_out = true;
    world.RunToEnd();
    EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
    EXPECT_TRUE(world.Has("shard_disputed"));
    EXPECT_TRUE(world.Has("quarantined"));
    EXPECT_TRUE(world.workers[liar].closed) << "it lied again";
    EXPECT_EQ(world.commits["a"], Honest(9));
    ASSERT_TRUE(world.closings["a"].held_out.has_value());
    EXPECT_EQ(world.closings["a"].held_out->score, -10'000);
  }
}

TEST(CoreTest, AuditsNeitherBlockALoneWorkerNorWaitForAStuckOne) {
  CoreOptions options;
  options.audit_share = 1;
  FakeWorld world(options);
  StartJob(world, 4, {"x", "y"}, 1);
  world.workers["y"].stuck = true;
  world.RunToEnd(100, 20000);
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_TRUE(world.Has("audit_skipped"));
  EXPECT_EQ(world.commits["a"], Honest(4));
}

TEST(CoreTest, ALoneWorkersCheckpointIsConfirmedByTheReferee) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(4));
  world.Join("x");
  world.RunToEnd();
  EXPECT_TRUE(world.Has("referee_said"));
  EXPECT_THAT(world.checkpoints["a"], ElementsAre(3, 4));
}

TEST(CoreTest, AForgedCheckpointIsNotBelieved) {
  FakeWorld world;
  StartJob(world, 6, {"x", "y"}, 3);
  // Somebody uploads other bytes with the same digest before the worker does.
  world.Do(world.core.CheckpointOffered(world.now, "a", 3, FakeWorld::DigestAt(3), "forged"));
  world.offers.push_back({"a", 3, "forged"});
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_TRUE(world.Has("checkpoint_failed"));
  EXPECT_THAT(world.checkpoints["a"], ElementsAre(6));
}

TEST(CoreTest, WhatWasThoughtOfOneUploadDoesNotHoldForTheNext) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(6));
  for (const char* id : {"x", "y"}) world.Join(id);
  const auto belief = [&](const std::string& file) {
    return world.core.CheckpointBelief("a", 3, file);
  };
  const std::string right = FakeWorld::FileHash(FakeWorld::DigestAt(3));
  // Until an offer is believed; it is being stored from then on.
  for (int i = 0; i < 20000 && belief(right) != Core::Belief::kBelieved; ++i) {
    world.now += 10;
    bool any = world.Work("x");
    any |= world.Work("y");
    world.Sync();
    if (!any) world.Do(world.core.Tick(world.now));
  }
  ASSERT_EQ(belief(right), Core::Belief::kBelieved);
  EXPECT_FALSE(world.core.CheckpointWanted("a", 3));
  // What nobody waits for fails unheard, and throws nothing out.
  world.Do(world.core.CheckpointFailed(world.now, "a", 3, "garbage", InvalidArgument("garbage")));
  EXPECT_EQ(belief(right), Core::Belief::kBelieved);
  EXPECT_FALSE(world.Has("checkpoint_failed"));
  // The disk is full: the next file that somebody offers is judged by itself.
  world.Do(world.core.CheckpointFailed(world.now, "a", 3, right, ResourceExhausted("full")));
  EXPECT_TRUE(world.Has("checkpoint_failed"));
  EXPECT_TRUE(world.core.CheckpointWanted("a", 3));
  world.Do(world.core.CheckpointOffered(world.now, "a", 3, std::string(16, 'z'), "forged"));
  EXPECT_EQ(belief("forged"), Core::Belief::kRefuted);
}

TEST(CoreTest, AWrongInitialDigestIsQuarantined) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(2));
  world.Join("x");
  world.workers["x"].wrong_from = 0;
  world.RunToEnd();
  EXPECT_TRUE(world.Has("quarantined"));
  EXPECT_EQ(world.workers["x"].reloads, 1u);
}

TEST(CoreTest, OtherVersionsAndWrongAnswersAreRefused) {
  CoreOptions options;
  options.known_answer_task = DefaultJob();
  options.known_answer_digest = FakeWorld::DigestAt(5);
  FakeWorld world(options);
  world.Join("x");
  v1::WorkerMessage message;
  message.mutable_known_answer()->set_digest(FakeWorld::DigestAt(6));
  world.Say("x", message);
  EXPECT_THAT(world.workers["x"].close_status.message(), HasSubstr("known-answer"));
  world.Do(world.core.WorkerConnected(world.now, "old", 0));
  message.mutable_hello()->set_protocol_version(77);
  world.Say("old", message);
  EXPECT_EQ(world.workers["old"].close_status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(world.workers["old"].close_status.message(), HasSubstr("77"));
}

TEST(CoreTest, PauseResumeCancelAndPriority) {
  FakeWorld world;
  StartJob(world, 6, {"w"}, 2);
  v1::Job urgent = FakeWorld::MakeJob(3);
  urgent.set_priority(1);
  world.Submit("b", urgent);
  EXPECT_EQ(world.core.Job("a")->state(), State::QUEUED);
  EXPECT_EQ(world.core.Job("b")->state(), State::RUNNING);
  RunToStep(world, "b", 1);
  world.Do(*world.core.Pause(world.now, "b"));
  EXPECT_EQ(world.core.Job("a")->state(), State::RUNNING);
  RunToStep(world, "a", 3);
  world.Do(*world.core.Resume(world.now, "b"));
  world.Do(*world.core.Cancel(world.now, "a"));
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::CANCELLED);
  EXPECT_EQ(world.core.Job("b")->state(), State::FINISHED);
  EXPECT_FALSE(world.core.Resume(world.now, "a").ok());
  EXPECT_FALSE(world.core.Pause(world.now, "nope").ok());
}

TEST(CoreTest, ARecoveredJobGoesOnWhereItsJournalEnds) {
  FakeWorld world;
  JobRecord record;
  record.id = "a";
  record.job = FakeWorld::MakeJob(6);
  record.spec = *SpecFromJob(record.job);
  record.initial_digest = FakeWorld::DigestAt(0);
  record.state = State::RUNNING;
  record.step = 4;
  world.commits["a"].resize(4);
  world.Do(world.core.JobRecovered(world.now, record));
  record.id = "b";  // closed, but its last checkpoint is missing
  record.step = 6;
  record.closing_digest = FakeWorld::DigestAt(6);
  world.Do(world.core.JobRecovered(world.now, record));
  world.Join("w");
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_EQ(world.core.Job("b")->state(), State::FINISHED);
  EXPECT_EQ(world.commits["a"].size(), 6u);
  EXPECT_THAT(world.checkpoints["b"], ElementsAre(6));
  EXPECT_FALSE(world.closings.contains("b"));
}

}  // namespace
}  // namespace hatchery::coordinator

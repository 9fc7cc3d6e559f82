// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Workers that compute wrongly or lie: votes for digests, the referee, audits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/job.h"
#include "tests/coordinator/fake_world.h"

namespace hatchery::coordinator {
namespace {

using testing::HasSubstr;
using State = v1::JobState;

// Worker y cannot follow job a's journal: at step 2 its replica has the true digest.
void Accuse(FakeWorld& world) {
  v1::WorkerMessage message;
  v1::Failure& failure = *message.mutable_failure();
  failure.set_job_id("a");
  failure.set_step(2);
  failure.set_digest(FakeWorld::DigestAt(2));
  world.Say("y", message);
  world.Judge();
}

// Worker y lies about one shard of a job of four steps; x, which would see it, is stuck.
void LieOnce(FakeWorld& world) {
  StartJob(world, 4, {"x", "y"}, 1);
  world.workers["y"].lies_from = 1;
  world.workers["x"].stuck = true;
  const uint64_t before = world.workers["y"].results;
  for (int i = 0; i < 50 && world.workers["y"].results == before; ++i) {
    world.Work("x");
    world.Work("y");
  }
  ASSERT_EQ(world.workers["y"].results, before + 1);
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

// It connected anew, and its old stream is not given up yet.
TEST(CoreTest, AWorkerOnTwoStreamsIsOneVoice) {
  FakeWorld world;
  StartJob(world, 6, {"x"}, 2);
  world.Join("y1", "y");
  world.Join("y2", "y");
  for (const char* id : {"y1", "y2"}) world.workers[id].wrong_from = 3;
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_TRUE(world.Has("referee_said"));
  EXPECT_EQ(world.workers["x"].reloads, 0u);
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

// Before its first word of a step, when nobody could tell that the digest is not the right one.
TEST(CoreTest, ALoneWorkerThatSaysItsMemoryChangedLoadsAnew) {
  FakeWorld world;
  StartJob(world, 6, {"x"}, 3);
  v1::WorkerMessage message;
  for (const v1::CoordinatorMessage& told : world.workers["x"].inbox)
    if (told.has_lease()) message.mutable_failure()->set_lease_id(told.lease().lease_id());
  ASSERT_NE(message.failure().lease_id(), 0u);
  message.mutable_failure()->set_job_id("a");
  message.mutable_failure()->set_step(3);
  message.mutable_failure()->set_digest(std::string(16, 'z'));
  message.mutable_failure()->set_message("the replica has changed in memory");
  world.Say("x", message);
  EXPECT_TRUE(world.Has("quarantined"));
  EXPECT_EQ(world.strikes["x"], 1u);
  world.RunToEnd();
  EXPECT_EQ(world.workers["x"].reloads, 1u);
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
  world.Join("y");
  world.Work("y");
  world.Work("y");
  Accuse(world);
  EXPECT_EQ(world.core.Job("a")->state(), State::PAUSED);
  EXPECT_THAT(world.core.Job("a")->reason(), HasSubstr("fsck"));
}

// After a restart too, and however often the job is resumed.
TEST(CoreTest, AWrongCommitIsFoundAfterARestartAndAgainAfterAResume) {
  FakeWorld world;
  JobRecord record;
  record.id = "a";
  record.job = FakeWorld::MakeJob(9);
  record.spec = *SpecFromJob(record.job);
  record.initial_digest = FakeWorld::DigestAt(0);
  record.step = 4;
  record.digests[2] = std::string(16, 'w');  // as the journal says
  world.commits["a"].resize(4);
  world.Do(world.core.JobRecovered(world.now, record));
  world.Join("y");
  for (int i = 0; i < 2; ++i) {
    while (world.Work("y")) continue;
    Accuse(world);
    EXPECT_EQ(world.core.Job("a")->state(), State::PAUSED) << i;
    EXPECT_THAT(world.core.Job("a")->reason(), HasSubstr("fsck"));
    world.Do(*world.core.Resume(world.now, "a"));
  }
}

TEST(CoreTest, ARefereeThatFailedIsAskedAgain) {
  FakeWorld world;
  StartJob(world, 9, {"x"}, 1);
  world.workers["x"].wrong_from = 2;
  RunToStep(world, "a", 3);
  world.Join("y");
  const auto accuse = [&] {
    while (world.Work("y")) continue;
    Accuse(world);
  };
  world.referee_status = ResourceExhausted("no memory");
  accuse();
  EXPECT_THAT(world.core.Job("a")->reason(), HasSubstr("no memory"));
  world.referee_status = {};
  world.Do(*world.core.Resume(world.now, "a"));
  accuse();
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

TEST(CoreTest, AnAuditOutlivesALossOfAllConnections) {
  CoreOptions options;
  options.audit_share = 1;
  FakeWorld world(options);
  ASSERT_NO_FATAL_FAILURE(LieOnce(world));
  world.Leave("x");
  world.Leave("y");
  world.RunToEnd(10, 5);
  EXPECT_FALSE(world.Has("audit_skipped"));
  // The liar is the first to be there again: it may not vouch for itself.
  world.Join("a", "y");
  world.workers["a"].lies_from = 1;
  world.Join("b", "x");
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_TRUE(world.Has("shard_disputed"));
  EXPECT_EQ(world.commits["a"], Honest(4));
}

TEST(CoreTest, AWorkerThatCameBackIsNoSecondOpinionOnItself) {
  CoreOptions options;
  options.audit_share = 1;
  FakeWorld world(options);
  ASSERT_NO_FATAL_FAILURE(LieOnce(world));
  // Its old stream still stands.
  world.workers["y"].stuck = true;
  world.Join("z", "y");
  world.workers["z"].lies_from = 1;
  world.RunToEnd(1, 20);
  world.Join("w");
  world.RunToEnd(100, 20000);
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_TRUE(world.Has("shard_disputed"));
  EXPECT_EQ(world.commits["a"], Honest(4));
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

TEST(CoreTest, AWrongInitialDigestIsQuarantined) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(2));
  world.Join("x");
  world.workers["x"].wrong_from = 0;
  world.RunToEnd();
  EXPECT_TRUE(world.Has("quarantined"));
  EXPECT_EQ(world.workers["x"].reloads, 1u);
}

}  // namespace
}  // namespace hatchery::coordinator

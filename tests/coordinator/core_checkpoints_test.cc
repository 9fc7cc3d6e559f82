// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Checkpoints: when one is asked for, and which upload is believed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/job.h"
#include "tests/coordinator/fake_world.h"

namespace hatchery::coordinator {
namespace {

using testing::ElementsAre;
using State = v1::JobState;

// Of the upload that the worker is to be asked for; empty if it is not.
std::string TicketFor(const FakeWorld& world, const std::string& id) {
  std::string ticket;
  for (const v1::CoordinatorMessage& message : world.workers.at(id).inbox)
    if (message.has_checkpoint_request()) ticket = message.checkpoint_request().ticket();
  return ticket;
}

TEST(CoreTest, ACheckpointIsAskedForBetweenItsCommits) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(4));
  world.Join("w");
  world.RunToEnd();
  EXPECT_THAT(world.workers["w"].order, ElementsAre("commit 0", "commit 1", "commit 2",
                                                    "checkpoint 3", "commit 3", "checkpoint 4"));
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
  // The worker that was asked uploads other bytes with the same digest.
  world.Do(world.core.CheckpointOffered(world.now, "a", 3, TicketFor(world, "x"),
                                        FakeWorld::DigestAt(3), "forged"));
  world.offers.push_back({"a", 3, "forged"});
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  EXPECT_TRUE(world.Has("checkpoint_failed"));
  EXPECT_THAT(world.checkpoints["a"], ElementsAre(6));
}

TEST(CoreTest, OnlyTheWorkerThatWasAskedCanOfferACheckpoint) {
  FakeWorld world;
  StartJob(world, 6, {"x", "y"}, 3);
  const std::string ticket = TicketFor(world, "x");
  EXPECT_EQ(TicketFor(world, "y"), "");  // the witness has none to pass on
  for (const std::string& wrong : {std::string(), std::string(16, 'z'), ticket.substr(1)}) {
    world.Do(
        world.core.CheckpointOffered(world.now, "a", 3, wrong, FakeWorld::DigestAt(3), "forged"));
    EXPECT_EQ(world.core.CheckpointBelief("a", 3, "forged"), Core::Belief::kNotWanted);
  }
  world.RunToEnd();
  EXPECT_FALSE(world.Has("checkpoint_failed"));
  EXPECT_THAT(world.checkpoints["a"], ElementsAre(3, 6));
}

// Storing takes its time, and the job can be paused meanwhile.
TEST(CoreTest, APauseWhileTheLastCheckpointIsStoredLosesNothing) {
  FakeWorld world;
  v1::Job job = FakeWorld::MakeJob(3);
  job.set_checkpoint_every(0);
  world.Submit("a", job);
  world.Submit("b", FakeWorld::MakeJob(3));
  for (const char* id : {"x", "y"}) world.Join(id);
  const std::string right = FakeWorld::FileHash(FakeWorld::DigestAt(3));
  // Until it is believed; nothing is stored meanwhile.
  for (int i = 0; i < 20000; ++i) {
    if (world.core.CheckpointBelief("a", 3, right) == Core::Belief::kBelieved) break;
    world.now += 10;
    bool any = world.Work("x");
    any |= world.Work("y");
    world.Sync();
    if (!any) world.Do(world.core.Tick(world.now));
  }
  ASSERT_EQ(world.core.CheckpointBelief("a", 3, right), Core::Belief::kBelieved);
  world.offers.clear();
  world.Do(*world.core.Pause(world.now, "a"));
  world.Do(world.core.CheckpointStored(world.now, "a", 3));
  EXPECT_EQ(world.core.Job("a")->state(), State::PAUSED);
  world.Do(*world.core.Resume(world.now, "a"));
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("b")->state(), State::FINISHED);
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
  const std::string ticket = world.workers["x"].ticket;
  EXPECT_FALSE(world.core.CheckpointWanted("a", 3, ticket));
  // What nobody waits for fails unheard, and throws nothing out.
  world.Do(world.core.CheckpointFailed(world.now, "a", 3, "garbage", InvalidArgument("garbage")));
  EXPECT_EQ(belief(right), Core::Belief::kBelieved);
  EXPECT_FALSE(world.Has("checkpoint_failed"));
  // The disk is full: the next file that somebody offers is judged by itself.
  world.Do(world.core.CheckpointFailed(world.now, "a", 3, right, ResourceExhausted("full")));
  EXPECT_TRUE(world.Has("checkpoint_failed"));
  EXPECT_TRUE(world.core.CheckpointWanted("a", 3, ticket));
  world.Do(world.core.CheckpointOffered(world.now, "a", 3, ticket, std::string(16, 'z'), "forged"));
  EXPECT_EQ(belief("forged"), Core::Belief::kRefuted);
}

}  // namespace
}  // namespace hatchery::coordinator

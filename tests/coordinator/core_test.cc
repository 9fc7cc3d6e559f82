// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A job's way from its submission to its end; what else the core does has files of its own here.
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

void SayLoadFailure(FakeWorld& world, const std::string& id) {
  v1::WorkerMessage message;
  message.mutable_failure()->set_job_id("a");
  message.mutable_failure()->set_message("no memory");
  world.Say(id, message);
}

TEST(CoreTest, AJobThatNobodyCanLoadIsPaused) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(6));
  for (const char* id : {"x", "y"}) world.Join(id);
  // One that fails again and again does not speak for the other, which may still be loading.
  for (int i = 0; i < 20; ++i) SayLoadFailure(world, "x");
  EXPECT_EQ(world.core.Job("a")->state(), State::RUNNING);
  for (int i = 0; i < 5; ++i) SayLoadFailure(world, "y");
  EXPECT_EQ(world.core.Job("a")->state(), State::RUNNING);
  SayLoadFailure(world, "y");
  EXPECT_EQ(world.core.Job("a")->state(), State::PAUSED);
  EXPECT_THAT(world.core.Job("a")->reason(), HasSubstr("no worker can load it: no memory"));
  for (const char* id : {"x", "y"})
    while (world.Work(id)) continue;  // they hear of the pause
  // Resumed, it is tried as often again.
  world.Do(*world.core.Resume(world.now, "a"));
  SayLoadFailure(world, "x");
  EXPECT_EQ(world.core.Job("a")->state(), State::RUNNING);
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
}

TEST(CoreTest, OneThatLoadsForEverDoesNotKeepAJobThatNobodyCanLoad) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(6));
  for (const char* id : {"fails", "hangs"}) world.Join(id);
  for (int i = 0; i < 6; ++i) SayLoadFailure(world, "fails");
  world.now += 599'000;
  SayLoadFailure(world, "fails");
  EXPECT_EQ(world.core.Job("a")->state(), State::RUNNING);
  world.now += 2'000;
  SayLoadFailure(world, "fails");
  EXPECT_EQ(world.core.Job("a")->state(), State::PAUSED);
}

TEST(CoreTest, WhoOnlyComplainsIsSentAway) {
  FakeWorld world;
  StartJob(world, 6, {"x", "y"}, 2);
  for (int i = 0; i < 1000 && !world.workers["x"].closed; ++i) SayLoadFailure(world, "x");
  EXPECT_TRUE(world.workers["x"].closed);
  EXPECT_THAT(world.workers["x"].close_status.message(), HasSubstr("failures without a result"));
  EXPECT_LT(world.events.size(), 300u);
  world.RunToEnd();
  EXPECT_EQ(world.core.Job("a")->state(), State::FINISHED);
}

// A disk, or a machine that slept: nobody could be heard.
TEST(CoreTest, NobodyIsSilentWhileTheCoordinatorStandsStill) {
  FakeWorld world;
  StartJob(world, 6, {"x"}, 2);
  world.Do(world.core.Tick(world.now));
  world.now += 100'000;
  world.Do(world.core.Tick(world.now));
  EXPECT_FALSE(world.workers["x"].closed);
  for (int i = 0; i < 400; ++i) world.Do(world.core.Tick(world.now += 100));
  EXPECT_TRUE(world.workers["x"].closed);
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

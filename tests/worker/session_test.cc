// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hatchery::worker {
namespace {

using v1::CoordinatorMessage;
using v1::WorkerMessage;

// A session, the actions of its last event, and short ways to say what happens to it.
class SessionTest : public ::testing::Test {
 protected:
  void Do(const Event& event) { actions_ = session_.Handle(now_, event); }

  template <typename T>
  std::vector<T> All() const {
    std::vector<T> all;
    for (const Action& action : actions_) {
      if (const T* kind = std::get_if<T>(&action)) all.push_back(*kind);
    }
    return all;
  }
  // The work of kind T that the last event started; a failure and T() if there is none.
  template <typename T>
  T Started() const {
    for (const Start& start : All<Start>()) {
      if (const T* work = std::get_if<T>(&start.work)) return *work;
    }
    ADD_FAILURE() << "no such work was started";
    return T();
  }
  bool StartedNothing() const { return All<Start>().empty(); }
  bool Cancelled() const { return !All<CancelWork>().empty(); }
  WorkerMessage Sent() const {
    const auto sent = All<Send>();
    if (sent.size() != 1) ADD_FAILURE() << sent.size() << " messages were sent";
    return sent.empty() ? WorkerMessage() : sent.front().message;
  }
  bool SentNothing() const { return All<Send>().empty(); }

  void Open() {
    Do(Tick{});
    EXPECT_EQ(All<Connect>().size(), 1u);
    Do(Connected{});
    EXPECT_TRUE(Sent().has_hello());
    Welcome(false);
  }
  void Welcome(bool task) {
    CoordinatorMessage m;
    m.mutable_welcome()->set_heartbeat_seconds(5);
    if (task) m.mutable_welcome()->mutable_task()->set_steps(3);
    Do(Received{m});
  }
  void Assign(uint32_t step, const std::string& id = "j1", uint32_t seed = 1) {
    CoordinatorMessage m;
    m.mutable_assign()->set_job_id(id);
    m.mutable_assign()->set_step(step);
    m.mutable_assign()->mutable_job()->mutable_noise()->set_seed(seed);
    Do(Received{m});
  }
  void Lease(uint32_t step, uint64_t id) {
    CoordinatorMessage m;
    m.mutable_lease()->set_job_id("j1");
    m.mutable_lease()->set_step(step);
    m.mutable_lease()->set_lease_id(id);
    m.mutable_lease()->mutable_pairs()->set_end(10);
    Do(Received{m});
  }
  void Commit(uint32_t step) { Commit(step, Digest(step)); }
  void Commit(uint32_t step, const std::string& digest) {
    CoordinatorMessage m;
    m.mutable_commit()->set_step(step);
    m.mutable_commit()->set_digest_before(digest);
    Do(Received{m});
  }
  void CheckpointRequest(uint32_t step) {
    CoordinatorMessage m;
    m.mutable_checkpoint_request()->set_job_id("j1");
    m.mutable_checkpoint_request()->set_step(step);
    Do(Received{m});
  }
  void Revoke(uint64_t id) {
    CoordinatorMessage m;
    m.mutable_revoke()->set_lease_id(id);
    Do(Received{m});
  }
  void Release() {
    CoordinatorMessage m;
    m.mutable_release()->set_job_id("j1");
    Do(Received{m});
  }
  static std::string Digest(uint32_t step) { return "digest of step " + std::to_string(step); }
  // The running work is done; the replica is at `step`.
  void Done(uint32_t step) { Fail({}, step); }
  void Fail(Status status, uint32_t step = 0) {
    Completed done;
    done.status = std::move(status);
    done.step = step;
    done.digest = Digest(step);
    Do(done);
  }
  void OpenAt(uint32_t step) {
    Open();
    Assign(step);
    Started<Load>();
    Done(0);
    CaughtUp(step);
  }
  void CaughtUp(uint32_t step) {
    Started<CatchUp>();
    Done(step);
    EXPECT_EQ(Sent().ready().step(), step);
  }
  void Lose() { Do(Disconnected{Unavailable("gone")}); }
  void Reconnect() {
    now_ = *session_.NextTick();
    Open();
  }

  int64_t now_ = 1'000'000;
  WorkerSession session_{SessionOptions{{}, "host:7070", 0}};
  std::vector<Action> actions_;
};

TEST_F(SessionTest, ProvesItselfOnceForTheSameTask) {
  Open();
  Welcome(true);
  EXPECT_EQ(Started<Prove>().task.steps(), 3u);
  Assign(0);
  EXPECT_TRUE(StartedNothing());
  Done(3);
  EXPECT_EQ(Sent().known_answer().digest(), Digest(3));
  Started<Load>();
  Fail(Unavailable("x"));
  Lose();
  Reconnect();
  Welcome(true);
  EXPECT_EQ(Sent().known_answer().digest(), Digest(3));
}

TEST_F(SessionTest, LoadsThenIsReadyWithItsDigest) {
  Open();
  Assign(7);
  EXPECT_EQ(Started<Load>().job_id, "j1");
  Done(6);
  EXPECT_EQ(Started<CatchUp>().job_id, "j1");
  EXPECT_TRUE(SentNothing());
  Done(8);
  EXPECT_EQ(Sent().ready().job_id(), "j1");
  EXPECT_EQ(Sent().ready().step(), 8u);
  EXPECT_EQ(Sent().ready().digest(), Digest(8));
}

TEST_F(SessionTest, SaysWithEveryReadyHowManyPairsARoundHas) {
  Open();
  Assign(7);
  Completed loaded;
  loaded.step = 7;
  loaded.digest = Digest(7);
  loaded.round_pairs = 8448;
  Do(loaded);
  Done(7);  // of catching up, which does not say it again
  EXPECT_EQ(Sent().ready().round_pairs(), 8448u);
  Commit(7);
  Done(8);
  EXPECT_EQ(Sent().ready().round_pairs(), 8448u);
  Lose();
  Reconnect();
  Assign(8);
  Done(8);
  EXPECT_EQ(Sent().ready().round_pairs(), 8448u) << "the replica was kept";
}

TEST_F(SessionTest, WorksInTheOrderOfTheStream) {
  OpenAt(3);
  Lease(3, 1);
  EXPECT_EQ(Started<Evaluate>().lease.lease_id(), 1u);
  Lease(3, 2);
  EXPECT_TRUE(StartedNothing());
  CheckpointRequest(3);
  Done(3);
  EXPECT_EQ(Sent().result().lease_id(), 1u);
  EXPECT_EQ(Sent().result().digest(), Digest(3));
  EXPECT_EQ(Started<Evaluate>().lease.lease_id(), 2u);
  Done(3);
  EXPECT_EQ(Started<Upload>().step, 3u);
  Commit(3);
  Lease(4, 3);
  EXPECT_TRUE(StartedNothing());
  Done(3);
  EXPECT_EQ(Started<Apply>().commit.step(), 3u);
  Done(4);
  EXPECT_EQ(Sent().ready().step(), 4u);  // its vote
  EXPECT_EQ(Sent().ready().digest(), Digest(4));
  EXPECT_EQ(Started<Evaluate>().lease.lease_id(), 3u);
  Done(4);
  EXPECT_EQ(Sent().result().digest(), Digest(4));
}

TEST_F(SessionTest, CommitCancelsLeasesOfItsStep) {
  OpenAt(3);
  Lease(3, 1);
  Lease(3, 2);
  Commit(3);
  EXPECT_TRUE(Cancelled());
  EXPECT_TRUE(StartedNothing());
  Fail(hatchery::Cancelled("stopped"), 3);
  EXPECT_TRUE(SentNothing());
  EXPECT_EQ(Started<Apply>().commit.step(), 3u);
  Done(4);
  EXPECT_TRUE(StartedNothing());
}

TEST_F(SessionTest, RevokeStopsTheRunningAndForgetsTheQueued) {
  OpenAt(0);
  Lease(0, 1);
  Lease(0, 2);
  Lease(0, 3);
  Revoke(2);
  EXPECT_FALSE(Cancelled());
  Revoke(1);
  EXPECT_TRUE(Cancelled());
  Done(0);  // it was done before the cancellation reached it
  EXPECT_TRUE(SentNothing());
  EXPECT_EQ(Started<Evaluate>().lease.lease_id(), 3u);
}

TEST_F(SessionTest, GivesUpALeaseThatIsLongOverdue) {
  OpenAt(0);
  CoordinatorMessage m;
  m.mutable_lease()->set_job_id("j1");
  m.mutable_lease()->set_lease_id(1);
  m.mutable_lease()->mutable_pairs()->set_end(10);
  m.mutable_lease()->set_deadline_milliseconds(2'000);
  Do(Received{m});
  Started<Evaluate>();
  now_ += 3'999;
  Do(Tick{});
  EXPECT_FALSE(Cancelled());
  EXPECT_EQ(session_.NextTick(), now_ + 1);
  now_ += 1;
  Do(Tick{});
  EXPECT_TRUE(Cancelled());
}

TEST_F(SessionTest, IgnoresOldCommitsAndOldLeases) {
  OpenAt(5);
  Commit(3);
  EXPECT_TRUE(StartedNothing());
  Lease(4, 1);
  EXPECT_TRUE(StartedNothing());
  EXPECT_TRUE(SentNothing());
  Commit(5);
  Started<Apply>();
}

TEST_F(SessionTest, FetchesMissingCommits) {
  OpenAt(5);
  Commit(7);
  Started<CatchUp>();
  Lease(8, 1);
  Done(8);
  EXPECT_TRUE(SentNothing());  // it is Ready already
  EXPECT_EQ(Started<Evaluate>().lease.lease_id(), 1u);
}

TEST_F(SessionTest, GivesALeaseOfTheFutureBack) {
  OpenAt(5);
  Lease(9, 1);
  Started<CatchUp>();
  Done(6);
  EXPECT_EQ(Sent().failure().lease_id(), 1u);
  EXPECT_TRUE(StartedNothing());
}

TEST_F(SessionTest, LoadsAnewWhenItsDigestIsWrong) {
  OpenAt(5);
  Commit(5, "another digest");
  EXPECT_EQ(Sent().failure().step(), 5u);
  EXPECT_EQ(Sent().failure().digest(), Digest(5));
  EXPECT_TRUE(StartedNothing());
  now_ = *session_.NextTick();
  Do(Tick{});
  Started<Load>();
  Done(0);
  CaughtUp(6);
}

TEST_F(SessionTest, KeepsTheResultOfAReplicaThatChangedInMemory) {
  OpenAt(5);
  Lease(5, 1);
  Completed done;
  done.step = 5;
  done.digest = "flipped";
  Do(done);
  const v1::WorkerMessage said = Sent();
  EXPECT_EQ(said.failure().lease_id(), 1u);
  EXPECT_EQ(said.failure().step(), 5u);
  EXPECT_EQ(said.failure().digest(), "flipped");
  EXPECT_TRUE(StartedNothing());
  now_ = *session_.NextTick();
  Do(Tick{});
  Started<Load>();
}

TEST_F(SessionTest, HashesACheckpointAsAWitness) {
  OpenAt(5);
  CoordinatorMessage m;
  m.mutable_checkpoint_request()->set_job_id("j1");
  m.mutable_checkpoint_request()->set_step(5);
  m.mutable_checkpoint_request()->set_hash_only(true);
  Do(Received{m});
  EXPECT_TRUE(Started<Upload>().hash_only);
  Completed done;
  done.step = 5;
  done.digest = Digest(5);
  done.sha256 = "hash";
  Do(done);
  EXPECT_EQ(Sent().checkpoint_hash().step(), 5u);
  EXPECT_EQ(Sent().checkpoint_hash().sha256(), "hash");
}

TEST_F(SessionTest, FailedEvaluationGoesBack) {
  OpenAt(0);
  Lease(0, 1);
  Fail(ResourceExhausted("out of memory"), 0);
  EXPECT_EQ(Sent().failure().lease_id(), 1u);
  EXPECT_EQ(Sent().failure().message(), "out of memory");
}

TEST_F(SessionTest, FailedLoadIsReportedAndTriedAgain) {
  Open();
  Assign(0);
  Fail(NotFound("no such file"));
  EXPECT_EQ(Sent().failure().lease_id(), 0u);
  EXPECT_TRUE(StartedNothing());
  now_ = *session_.NextTick();
  Do(Tick{});
  Started<Load>();
}

TEST_F(SessionTest, ReconnectKeepsTheReplicaAndDropsLeases) {
  OpenAt(5);
  Lease(5, 1);
  Lose();
  EXPECT_TRUE(Cancelled());
  Fail(hatchery::Cancelled("stopped"), 5);
  EXPECT_TRUE(SentNothing());
  Reconnect();
  Assign(7);
  EXPECT_EQ(Started<CatchUp>().job_id, "j1");
  Done(7);
  EXPECT_EQ(Sent().ready().step(), 7u);
}

TEST_F(SessionTest, ACommitInProgressSurvivesTheConnection) {
  OpenAt(5);
  Commit(5);
  Lose();
  EXPECT_FALSE(Cancelled());
  Reconnect();
  Assign(6);
  EXPECT_TRUE(StartedNothing());
  Done(6);
  Started<CatchUp>();
  Done(6);
  EXPECT_EQ(Sent().ready().digest(), Digest(6));
}

TEST_F(SessionTest, CatchUpThatMismatchesLoads) {
  OpenAt(5);
  Lose();
  Reconnect();
  Assign(7);
  Started<CatchUp>();
  Fail(DataLoss("another digest"), 6);
  EXPECT_EQ(Sent().failure().step(), 6u);
  EXPECT_EQ(Sent().failure().digest(), Digest(6));
  now_ = *session_.NextTick();
  Do(Tick{});
  Started<Load>();
}

TEST_F(SessionTest, CatchUpThatBreaksOffGoesOnWhereItStopped) {
  OpenAt(5);
  Lose();
  Reconnect();
  Assign(9);
  Started<CatchUp>();
  Lose();
  Fail(hatchery::Cancelled("stopped"), 7);
  Reconnect();
  Assign(9);
  Started<CatchUp>();
}

TEST_F(SessionTest, AnotherJobUnderTheSameNameIsLoaded) {
  OpenAt(5);
  Lose();
  Reconnect();
  Assign(7, "j1", 2);
  Started<Load>();
}

TEST_F(SessionTest, ReplicaAheadOfTheCoordinatorIsNotTrusted) {
  OpenAt(5);
  Lose();
  Reconnect();
  Assign(4);
  Started<Load>();
}

TEST_F(SessionTest, ReleaseClosesTheJob) {
  OpenAt(5);
  Lease(5, 1);
  Release();
  EXPECT_TRUE(Cancelled());
  Fail(hatchery::Cancelled("stopped"), 5);
  Started<Close>();
  Assign(5);
  Done(0);
  Started<Load>();
}

TEST_F(SessionTest, HeartbeatsEvenWhileEvaluating) {
  OpenAt(5);
  Lease(5, 1);
  now_ += 4'999;
  Do(Tick{});
  EXPECT_TRUE(SentNothing());
  now_ += 1;
  EXPECT_EQ(session_.NextTick(), now_);
  Do(Tick{});
  EXPECT_EQ(Sent().heartbeat().job_id(), "j1");
  EXPECT_EQ(Sent().heartbeat().step(), 5u);
}

TEST_F(SessionTest, RefusalEndsTheWorker) {
  for (const Status& refusal : {FailedPrecondition("protocol 2, not 1"), InvalidArgument("bad")}) {
    WorkerSession session{SessionOptions{{}, "host:7070", 0}};
    session.Handle(0, Tick{});
    session.Handle(0, Connected{});
    const std::vector<Action> actions = session.Handle(0, Disconnected{refusal});
    ASSERT_EQ(actions.size(), 2u);
    EXPECT_THAT(std::get<LogLine>(actions[0]).message,
                ::testing::AllOf(::testing::HasSubstr("host:7070"),
                                 ::testing::HasSubstr(refusal.message())));
    EXPECT_NE(std::get<Exit>(actions[1]).code, 0);
    EXPECT_TRUE(session.Handle(0, Tick{}).empty());
    EXPECT_FALSE(session.NextTick().has_value());
  }
}

TEST_F(SessionTest, EveryLineOfAJobHasItsStep) {
  Open();
  Assign(7);
  ASSERT_EQ(All<LogLine>().size(), 1u);  // before there is a replica
  EXPECT_EQ(All<LogLine>()[0].event, "assigned");
  EXPECT_EQ(All<LogLine>()[0].job, "j1");
  EXPECT_EQ(All<LogLine>()[0].step, 7u);
}

TEST_F(SessionTest, ALostCoordinatorIsNoError) {
  OpenAt(5);
  Lose();
  ASSERT_EQ(All<LogLine>().size(), 1u);
  EXPECT_EQ(All<LogLine>()[0].level, LogLevel::kWarning);
  EXPECT_EQ(All<LogLine>()[0].message,
            "lost the connection to the coordinator at host:7070; trying again");
  Do(Tick{});
  now_ = *session_.NextTick();
  Do(Tick{});
  Do(Connected{});
  Do(Disconnected{Unavailable("nobody is there")});
  EXPECT_TRUE(All<LogLine>().empty());  // told already
}

TEST_F(SessionTest, WaitsLongerAfterEveryFailureAndForEver) {
  int64_t last = 0;
  for (int i = 0; i < 50; ++i) {
    Do(Tick{});
    ASSERT_EQ(All<Connect>().size(), 1u);
    Do(Connected{});
    Lose();
    ASSERT_TRUE(All<Exit>().empty());
    const int64_t wait = *session_.NextTick() - now_;
    EXPECT_GE(wait, last);
    EXPECT_LE(wait, 10'000);
    last = wait;
    Do(Tick{});
    EXPECT_TRUE(All<Connect>().empty());
    now_ += wait;
  }
}

TEST_F(SessionTest, GivesUpAfterRetrySeconds) {
  WorkerSession session{SessionOptions{{}, "host:7070", 10}};
  int64_t now = 500;
  while (session.NextTick()) {
    ASSERT_LT(now, 20'000);
    now = std::max(now, *session.NextTick());
    session.Handle(now, Tick{});
    session.Handle(now, Connected{});
    session.Handle(now, Disconnected{Unavailable("refused")});
  }
  EXPECT_GE(now, 10'500);
}

TEST_F(SessionTest, StopSaysGoodbye) {
  OpenAt(5);
  Lease(5, 1);
  Do(StopRequested{"terminated"});
  EXPECT_TRUE(Cancelled());
  EXPECT_EQ(Sent().goodbye().reason(), "terminated");
  ASSERT_EQ(All<Exit>().size(), 1u);
  EXPECT_EQ(All<Exit>().front().code, 0);
  Do(Tick{});
  EXPECT_TRUE(actions_.empty());
}

}  // namespace
}  // namespace hatchery::worker

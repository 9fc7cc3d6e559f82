// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a coordinator keeps of its jobs: the notes of the time in their journals, their ids, and
// what is found of them after a restart.
#include "services/coordinator/job_store.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "kernels/model.h"
#include "services/common/checkpoint.h"
#include "services/common/journal.h"
#include "services/common/run_events.h"
#include "services/coordinator/recovery.h"
#include "tests/records/faulty_disk.h"
#include "tests/records/small_job.h"
#include "tests/records/temporary_directory.h"

namespace hatchery::coordinator {
namespace {

class JobStoreTest : public testing::Test {
 protected:
  void SetUp() override { Open(); }
  void Open() {
    store_.reset();  // it holds the directory's lock
    auto store = JobStore::Open(PosixDisk(), directory_.path(), [this] { return now_; });
    ASSERT_TRUE(store.ok()) << store.status().message();
    store_ = std::move(*store);
  }
  void Commit(uint32_t step) {
    CommitRecord record;
    record.commit.step = step;
    record.commit.fitness.assign((SmallJob().population() / 2 + 4) / 5, 121);  // all zero
    const Status status = store_->Append("1", record);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  // "kind step milliseconds" of every note, with commits as "commit step".
  std::vector<std::string> Journal() {
    std::vector<std::string> lines;
    auto reader = JournalReader::Open(PosixDisk(), store_->Run("1").journal_path());
    EXPECT_TRUE(reader.ok());
    JournalRecord record;
    while (true) {
      const auto outcome = (*reader)->Next(record);
      EXPECT_TRUE(outcome.ok());
      if (!outcome.ok() || *outcome != JournalReader::Outcome::kRecord) return lines;
      if (const auto* commit = std::get_if<CommitRecord>(&record))
        lines.push_back("commit " + std::to_string(commit->commit.step));
      else if (const auto* event = std::get_if<EventRecord>(&record))
        lines.push_back(event->kind + " " + std::to_string(event->step) + " " +
                        std::to_string(event->unix_milliseconds));
      else
        lines.push_back("closing");
    }
  }

  int64_t now_ = 1'000'000;
  TemporaryDirectory directory_;
  std::unique_ptr<JobStore> store_;
};

TEST_F(JobStoreTest, NotesTheTimeOnceASecondAndOfTheLastStep) {
  ASSERT_TRUE(store_->Create("1", SmallJob()).ok());
  for (uint32_t step = 0; step < 5; ++step) {
    Commit(step);
    now_ += 600;
  }
  ClosingRecord closing;
  closing.step = 5;
  ASSERT_TRUE(store_->Append("1", closing).ok());
  EXPECT_EQ(Journal(), (std::vector<std::string>{"commit 0", "started 1 1000000", "commit 1",
                                                 "commit 2", "time 3 1001200", "commit 3",
                                                 "commit 4", "time 5 1002400", "closing"}));
}

TEST_F(JobStoreTest, ThePauseAndTheRestartAreNotTimed) {
  ASSERT_TRUE(store_->Create("1", SmallJob()).ok());
  Commit(0);
  now_ += 5000;
  Commit(1);
  store_->StopClock("1");
  now_ += 100'000;
  Commit(2);
  now_ += 1000;
  Commit(3);
  Open();
  now_ += 100'000;
  ASSERT_TRUE(store_->Recover("1").ok());
  Commit(4);
  now_ += 10;
  Commit(5);
  EXPECT_EQ(Journal(), (std::vector<std::string>{"commit 0", "started 1 1000000", "commit 1",
                                                 "commit 2", "resumed 3 1105000", "commit 3",
                                                 "commit 4", "resumed 5 1206000", "commit 5"}));
}

v1::JobState Known(const std::string& id, v1::JobState::State state) {
  v1::JobState job;
  job.set_job_id(id);
  *job.mutable_job() = SmallJob();
  job.set_state(state);
  job.set_step(3);
  return job;
}

TEST_F(JobStoreTest, AJobWhoseFilesAreGoneIsNotForgotten) {
  ASSERT_TRUE(store_->Create("2", SmallJob()).ok());
  const std::vector<v1::JobState> known = {Known("1", v1::JobState::FINISHED),
                                           Known("3", v1::JobState::RUNNING)};
  const auto found = FindJobs(*store_, known);
  ASSERT_TRUE(found.ok());
  std::vector<std::string> ids;
  for (const FoundJob& job : *found) ids.push_back(job.id);
  EXPECT_EQ(ids, (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_EQ((*found)[1].known, nullptr);
  // Its number is not given again either.
  EXPECT_EQ(*store_->NewId(known), "4");
  EXPECT_EQ(*store_->NewId({}), "3");

  const auto over = RecoverJob(*store_, "1", &known[0]);
  ASSERT_TRUE(over.ok()) << over.status().message();
  EXPECT_EQ(over->record.state, v1::JobState::FINISHED);
  EXPECT_NE(over->record.reason.find("its files are gone"), std::string::npos);
  const auto running = RecoverJob(*store_, "3", &known[1]);
  ASSERT_TRUE(running.ok()) << running.status().message();
  EXPECT_EQ(running->record.state, v1::JobState::PAUSED);
  EXPECT_TRUE(running->record.damaged);
  EXPECT_NE(running->record.reason.find("hatchery fsck --repair"), std::string::npos);
}

// Its files are back. What was cancelled after its last step stays cancelled.
TEST_F(JobStoreTest, AJobThatIsOverStaysSo) {
  ASSERT_TRUE(store_->Create("1", SmallJob()).ok());
  const uint32_t steps = SmallJob().steps();
  for (uint32_t step = 0; step < steps; ++step) Commit(step);
  const JobSpec spec = *SpecFromJob(SmallJob());
  const std::vector<int8_t> weights = InitialWeights(Model(spec), spec.seed);
  ClosingRecord closing;
  closing.step = steps;
  closing.digest = DigestOfBytes(weights, 0);
  ASSERT_TRUE(store_->Append("1", closing).ok());
  const auto recovered = [&](v1::JobState::State state) {
    v1::JobState known = Known("1", state);
    known.set_reason("its files are gone");
    return RecoverJob(*store_, "1", &known)->record;
  };
  // Without the last checkpoint a finished job is made whole again.
  EXPECT_EQ(recovered(v1::JobState::FINISHED).state, v1::JobState::QUEUED);
  EXPECT_EQ(recovered(v1::JobState::FINISHED).reason, "");
  EXPECT_EQ(recovered(v1::JobState::CANCELLED).state, v1::JobState::CANCELLED);

  const std::string bytes = EncodeCheckpoint(SmallJob(), steps, weights);
  ASSERT_TRUE(store_->Run("1").StoreCheckpoint(steps, bytes, 1).ok());
  for (const auto state : {v1::JobState::FINISHED, v1::JobState::CANCELLED}) {
    EXPECT_EQ(recovered(state).state, state);
    EXPECT_EQ(recovered(state).reason, "");
  }
  EXPECT_EQ(recovered(v1::JobState::PAUSED).state, v1::JobState::FINISHED);
  EXPECT_EQ(recovered(v1::JobState::PAUSED).reason, "");
}

// A sync has failed; the commit that is appended again must not only seem to be on the disk.
TEST(JobStoreOnAFaultyDisk, ACommitIsDurableWhenAnAppendSaysSo) {
  const TemporaryDirectory directory;
  ForgetfulDisk disk;
  const auto store = JobStore::Open(disk, directory.path());
  ASSERT_TRUE(store.ok()) << store.status().message();
  ASSERT_TRUE((*store)->Create("1", SmallJob()).ok());
  const auto size = [&] { return std::filesystem::file_size((*store)->Run("1").journal_path()); };
  disk.cache.size = disk.cache.durable = size();
  CommitRecord record;
  record.commit.fitness.assign((SmallJob().population() / 2 + 4) / 5, 121);  // all zero
  disk.cache.fails = true;
  EXPECT_FALSE((*store)->Append("1", record).ok());
  EXPECT_LT(disk.cache.durable, size());
  const auto again = (*store)->Append("1", record);
  ASSERT_TRUE(again.ok()) << again.message();
  EXPECT_EQ(disk.cache.durable, size());
  EXPECT_EQ((*store)->Recover("1")->updates.size(), 1u);
}

}  // namespace
}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The notes of the time that a coordinator's journals hold.
#include "services/coordinator/job_store.h"

#include <gtest/gtest.h>

#include "services/common/journal.h"
#include "services/common/run_events.h"
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

}  // namespace
}  // namespace hatchery::coordinator

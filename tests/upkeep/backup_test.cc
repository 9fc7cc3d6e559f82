// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/upkeep/backup.h"

#include <gmock/gmock.h>

#include "services/common/journal_scan.h"
#include "services/coordinator/catalogue.h"
#include "tests/upkeep/stored_runs.h"

namespace hatchery {
namespace {

using testing::HasSubstr;

class BackupTest : public StoredRuns {
 protected:
  StatusOr<BackupResult> Back(const std::string& from, const std::string& to) {
    return Backup(PosixDisk(), Path(from), Path(to), [this](const CopiedFile& file) {
      text_of_copies_ += file.path + ": " + file.text + "\n";
    });
  }
  // A coordinator's directory DIR/data with one job, which Train has finished.
  void MakeDataDir() const {
    Train("run");
    ASSERT_TRUE(PosixDisk().CreateDirectory(Path("data/jobs")).ok());
    Copy("run", "data/jobs/1");
    PutJob("1", v1::JobState::FINISHED);
  }
  void PutJob(const std::string& id, v1::JobState::State state) const {
    v1::JobState job;
    job.set_job_id(id);
    *job.mutable_job() = SmallJob();
    job.set_state(state);
    job.set_step(12);
    ASSERT_TRUE((*coordinator::Catalogue::Open(Path("data/catalogue.sqlite")))->PutJob(job).ok());
  }
  std::string text_of_copies_;
};

TEST_F(BackupTest, TheCopyIsTheRun) {
  const std::string digest = Train("run");
  const auto result = Back("run", "copy");
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->jobs, 1u);
  EXPECT_EQ(result->files, 3u);
  EXPECT_EQ(Read(Journal("copy")), Read(Journal("run")));
  EXPECT_EQ(Read(Checkpoint("copy", 12)), Read(Checkpoint("run", 12)));
  EXPECT_THAT(text_of_copies_, HasSubstr("12 commits, finished"));
  EXPECT_EQ(Back("run", "copy").status().code(), StatusCode::kAlreadyExists);
}

// With a trainer at work: at every step, what has been copied can be gone on with.
TEST_F(BackupTest, ARunningTrainersRun) {
  const std::string digest = Train("straight");
  std::stop_source stop;
  const auto replica = TrainingReplica();
  TrainerOptions options;
  options.on_step = [&](const StepReport& report) {
    const auto result = Back("run", "copy" + std::to_string(report.step));
    EXPECT_TRUE(result.ok()) << result.status().message();
  };
  auto trainer = Trainer::Open(PosixDisk(), Path("run"), SmallJob(), *replica, options);
  ASSERT_TRUE((*trainer)->Run(stop.get_token()).ok());
  for (int step = 1; step <= 12; ++step) {
    const std::string copy = "copy" + std::to_string(step);
    EXPECT_EQ(ScanJournal(PosixDisk(), Journal(copy))->commits(), static_cast<uint32_t>(step));
    EXPECT_EQ(Train(copy), digest);
  }
}

TEST_F(BackupTest, DamageIsNotCopied) {
  Train("run");
  Write(Journal("run"), Read(Journal("run")) + std::string(20, '\0'));  // a torn tail
  ASSERT_TRUE(Back("run", "whole").ok());
  EXPECT_EQ(ScanJournal(PosixDisk(), Journal("whole"))->torn_bytes, 0u);
  FlipBit(Checkpoint("run", 12), Read(Checkpoint("run", 12)).size() - 1, 1);
  const auto without = Back("run", "without");
  ASSERT_TRUE(without.ok()) << without.status().message();
  EXPECT_EQ(without->left_out, 1u);
  FlipBit(Journal("run"), 900, 1);
  EXPECT_EQ(Back("run", "damaged").status().code(), StatusCode::kDataLoss);
  EXPECT_FALSE(PosixDisk().Exists(Path("damaged")));
  EXPECT_FALSE(PosixDisk().Exists(Path("damaged.partial")));
}

// Somebody made room.
TEST_F(BackupTest, RemovedFilesOfAJobThatIsOverAreNoFault) {
  MakeDataDir();
  PutJob("2", v1::JobState::FINISHED);
  PutJob("3", v1::JobState::CANCELLED);
  ASSERT_TRUE(PosixDisk().CreateDirectory(Path("data/jobs/3/checkpoints")).ok());
  for (const bool repair : {false, true}) {
    const Checked checked = Check("data", repair);
    EXPECT_TRUE(checked.result.healthy()) << checked.text;
    EXPECT_EQ(checked.result.repaired, 0u) << checked.text;
    EXPECT_THAT(checked.text, HasSubstr("data/jobs/2: its files were removed"));
    EXPECT_THAT(checked.text, HasSubstr("data/jobs/3: its files were removed"));
    EXPECT_FALSE(PosixDisk().Exists(Path("data/jobs/2")));
  }
  const auto result = Back("data", "copy");
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->jobs, 1u);
  EXPECT_TRUE(Check("copy").result.healthy());
}

TEST_F(BackupTest, AMissingJournalIsAFaultAndTheCopyIsRemoved) {
  MakeDataDir();
  PutJob("2", v1::JobState::PAUSED);
  const auto unfinished = Back("data", "copy");
  EXPECT_EQ(unfinished.status().code(), StatusCode::kDataLoss);
  EXPECT_THAT(unfinished.status().message(),
              HasSubstr("removed: jobs/2/journal.hatchery: it is missing"));
  EXPECT_FALSE(PosixDisk().Exists(Path("copy.partial")));
  PutJob("2", v1::JobState::CANCELLED);
  EXPECT_TRUE(Back("data", "copy").ok());
  // Beside checkpoints it was lost, also of a job that is over.
  ASSERT_TRUE(PosixDisk().Remove(Journal("data/jobs/1")).ok());
  EXPECT_FALSE(Check("data").result.healthy());
  EXPECT_EQ(Back("data", "other").status().code(), StatusCode::kDataLoss);
  EXPECT_FALSE(PosixDisk().Exists(Path("other.partial")));
}

}  // namespace
}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/upkeep/backup.h"

#include <gmock/gmock.h>

#include "services/common/journal_scan.h"
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
}

}  // namespace
}  // namespace hatchery

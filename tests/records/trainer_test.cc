// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/trainer/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "services/common/backend.h"
#include "services/common/checkpoint.h"
#include "services/common/replay.h"
#include "tests/records/small_job.h"
#include "tests/records/temporary_directory.h"

namespace hatchery {
namespace {

using testing::HasSubstr;

class TrainerTest : public testing::Test {
 protected:
  DataView View(const v1::Job& job) const {
    const std::span<const uint8_t> all(reinterpret_cast<const uint8_t*>(text_.data()),
                                       text_.size());
    return {all.first(job.train().end()), all.subspan(job.held_out().begin())};
  }

  std::unique_ptr<Replica> NewReplica(const v1::Job& job) const {
    auto replica = CreateReplica(*SpecFromJob(job), View(job), {"cpu", 1});
    EXPECT_TRUE(replica.ok()) << replica.status().message();
    return std::move(*replica);
  }

  // Trains in `directory`, stopping after step `until`; what happened.
  struct Outcome {
    Status status;
    uint32_t step = 0;
    core::Digest digest;
    std::vector<std::string> notes;
  };
  Outcome Train(const std::string& directory, const v1::Job& job, uint32_t until = UINT32_MAX) {
    Outcome outcome;
    std::stop_source stop;
    auto replica = NewReplica(job);
    TrainerOptions options;
    options.on_note = [&](const std::string& note) { outcome.notes.push_back(note); };
    options.on_step = [&](const StepReport& report) {
      if (report.step >= until) stop.request_stop();
    };
    auto trainer = Trainer::Open(PosixDisk(), directory, job, *replica, options);
    outcome.status = trainer.ok() ? (*trainer)->Run(stop.get_token()) : trainer.status();
    outcome.step = replica->step();
    outcome.digest = *replica->DigestOfAll();
    return outcome;
  }

  std::vector<CommitRecord> Commits(const std::string& directory, ClosingRecord* closing) {
    auto reader = JournalReader::Open(PosixDisk(), RunDir(PosixDisk(), directory).journal_path());
    std::vector<CommitRecord> commits;
    JournalRecord record;
    while (*(*reader)->Next(record) == JournalReader::Outcome::kRecord) {
      if (const auto* commit = std::get_if<CommitRecord>(&record)) commits.push_back(*commit);
      if (const auto* last = std::get_if<ClosingRecord>(&record)) *closing = *last;
    }
    return commits;
  }

  TemporaryDirectory directory_;
  std::string text_ = SmallText();
};

TEST_F(TrainerTest, AStoppedRunGoesOnToTheSameBytes) {
  const Outcome straight = Train(directory_ / "straight", SmallJob());
  ASSERT_TRUE(straight.status.ok()) << straight.status.message();
  EXPECT_EQ(straight.step, 12u);

  const std::string path = directory_ / "stopped";
  EXPECT_THAT(Train(path, SmallJob(), 3).status.message(), HasSubstr("step 3 of 12"));
  EXPECT_EQ(Train(path, SmallJob(), 10).status.code(), StatusCode::kCancelled);
  const Outcome resumed = Train(path, SmallJob());
  ASSERT_TRUE(resumed.status.ok()) << resumed.status.message();
  EXPECT_TRUE(resumed.digest == straight.digest);

  ClosingRecord a, b;
  EXPECT_EQ(Commits(directory_ / "straight", &a), Commits(path, &b));
  EXPECT_EQ(a, b);
  EXPECT_TRUE(a.digest == straight.digest);
  EXPECT_TRUE(a.held_out.has_value());
  // A finished run stays as it is.
  EXPECT_THAT(Train(path, SmallJob()).notes.back(), HasSubstr("finished"));
}

TEST_F(TrainerTest, MeasuresAreOfTheWeightsBeforeTheCommit) {
  ASSERT_TRUE(Train(directory_ / "run", SmallJob()).status.ok());
  ClosingRecord closing;
  const auto commits = Commits(directory_ / "run", &closing);
  auto replica = NewReplica(SmallJob());
  for (const CommitRecord& record : commits) {
    EXPECT_TRUE(*replica->DigestOfAll() == record.digest_before);
    ASSERT_EQ(record.held_out.has_value(), record.commit.step % 3 == 0);
    if (record.held_out) {
      EXPECT_EQ(*record.held_out, *replica->Validate(0, 4, {}));
    }
    ASSERT_TRUE(replica->Apply(record.commit).ok());
  }
  EXPECT_EQ(closing.held_out, *replica->Validate(0, 4, {}));
}

TEST_F(TrainerTest, SurvivesATornJournalAndABadCheckpoint) {
  const Outcome straight = Train(directory_ / "straight", SmallJob());
  const std::string path = directory_ / "torn";
  ASSERT_EQ(Train(path, SmallJob(), 9).status.code(), StatusCode::kCancelled);
  const RunDir run(PosixDisk(), path);
  const std::string journal = *ReadWholeFile(PosixDisk(), run.journal_path());
  ASSERT_TRUE(
      PosixDisk().WriteAtomically(run.journal_path(), journal.substr(0, journal.size() - 30)).ok());
  std::string checkpoint = *ReadWholeFile(PosixDisk(), run.checkpoint_path(8));
  checkpoint[checkpoint.size() - 100] ^= 1;
  ASSERT_TRUE(PosixDisk().WriteAtomically(run.checkpoint_path(8), checkpoint).ok());

  const Outcome resumed = Train(path, SmallJob());
  ASSERT_TRUE(resumed.status.ok()) << resumed.status.message();
  EXPECT_THAT(resumed.notes, testing::Contains(HasSubstr(run.checkpoint_path(8))));
  EXPECT_THAT(resumed.notes, testing::Contains(HasSubstr("incomplete record")));
  EXPECT_TRUE(resumed.digest == straight.digest);
}

TEST_F(TrainerTest, StopsWhileCatchingUp) {
  v1::Job job = SmallJob();
  job.set_checkpoint_every(0);
  ASSERT_EQ(Train(directory_ / "run", job, 9).status.code(), StatusCode::kCancelled);
  auto replica = NewReplica(job);
  std::stop_source stop;
  stop.request_stop();
  const auto trainer =
      Trainer::Open(PosixDisk(), directory_ / "run", job, *replica, {}, stop.get_token());
  EXPECT_EQ(trainer.status().code(), StatusCode::kCancelled);
  EXPECT_THAT(trainer.status().message(), HasSubstr("run the same command again"));
  EXPECT_TRUE(Train(directory_ / "run", job).status.ok());
}

TEST_F(TrainerTest, RefusesAnotherJobsDirectory) {
  ASSERT_TRUE(Train(directory_ / "run", SmallJob()).status.ok());
  v1::Job other = SmallJob();
  other.mutable_noise()->set_seed(2);
  EXPECT_THAT(Train(directory_ / "run", other).status.message(),
              HasSubstr("noise.seed is 2 here and 1 there"));
}

TEST_F(TrainerTest, RefusesADirectoryInUse) {
  auto first = NewReplica(SmallJob());
  const auto trainer = Trainer::Open(PosixDisk(), directory_ / "run", SmallJob(), *first, {});
  ASSERT_TRUE(trainer.ok()) << trainer.status().message();
  EXPECT_THAT(Train(directory_ / "run", SmallJob()).status.message(),
              HasSubstr("another trainer uses"));
}

TEST_F(TrainerTest, NormalizedFitnessTrainsAndReplays) {
  v1::Job job = SmallJob();
  job.set_fitness(v1::NORMALIZED);
  const Outcome outcome = Train(directory_ / "run", job);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.message();
  auto journal = JournalReader::Open(PosixDisk(), directory_ / "run/journal.hatchery");
  auto replica = NewReplica(job);
  const auto result = Replay(**journal, *replica);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->compared, 13u);
  EXPECT_TRUE(result->digest == outcome.digest);
}

TEST_F(TrainerTest, ReplayStopsAnywhereAndNamesADifference) {
  ASSERT_TRUE(Train(directory_ / "run", SmallJob()).status.ok());
  const std::string path = directory_ / "run/journal.hatchery";
  const auto start =
      ReadCheckpoint(PosixDisk(), directory_ / "run/checkpoints/step-0000000008.safetensors");
  ASSERT_TRUE(start.ok()) << start.status().message();
  auto replay = [&](uint32_t until, const Checkpoint* from) {
    auto journal = JournalReader::Open(PosixDisk(), path);
    auto replica = NewReplica(SmallJob());
    ReplayOptions options;
    options.until_step = until;
    options.start = from;
    return Replay(**journal, *replica, options);
  };
  EXPECT_TRUE(replay(8, nullptr)->digest == start->digest);
  EXPECT_TRUE(replay(11, nullptr)->digest == replay(11, &*start)->digest);
  EXPECT_THAT(replay(13, nullptr).status().message(), HasSubstr("there is no step 13"));
  Checkpoint wrong = *start;
  wrong.weights[5] ^= 1;
  EXPECT_THAT(replay(12, &wrong).status().message(), HasSubstr("at step 8 has digest"));
}

}  // namespace
}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Damage of every kind, anywhere: it is found, repaired without destroying anything, and the run
// goes on to the same bytes.
#include "services/upkeep/fsck.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <random>

#include "services/common/checkpoint.h"
#include "services/common/journal_scan.h"
#include "tests/upkeep/stored_runs.h"

namespace hatchery {
namespace {

using State = FileReport::State;
using testing::HasSubstr;

class FsckTest : public StoredRuns {
 protected:
  FsckTest() {
    digest_ = Train("finished");
    Train("stopped", 9);
  }

  // The damage of `name` is seen; after a repair all is well, and training ends as ever.
  void ExpectRecovery(const std::string& name, const std::string& what) {
    SCOPED_TRACE(what);
    const Checked before = Check(name);
    ASSERT_TRUE(before.status.ok()) << before.status.message();
    EXPECT_FALSE(before.result.healthy()) << before.text;
    ExpectRepairAndSameEnd(name);
  }
  void ExpectRepairAndSameEnd(const std::string& name) {
    const Checked repaired = Check(name, true);
    ASSERT_TRUE(repaired.status.ok()) << repaired.status.message();
    EXPECT_TRUE(repaired.result.healthy()) << repaired.text;
    if (RunDir(PosixDisk(), Path(name)).HasJournal()) {
      const Checked after = Check(name, false, true);
      EXPECT_TRUE(after.status.ok()) << after.status.message();
      EXPECT_TRUE(after.result.healthy()) << repaired.text << after.text;
      EXPECT_EQ(after.result.repaired, 0u) << after.text;
    }
    EXPECT_EQ(Train(name), digest_) << repaired.text;
    const Checked end = Check(name, false, true);
    EXPECT_TRUE(end.result.healthy()) << end.text;
    EXPECT_THAT(end.text, HasSubstr("finished with digest " + digest_));
  }

  std::string digest_;
};

TEST_F(FsckTest, HealthyRuns) {
  for (const char* name : {"finished", "stopped"}) {
    for (const bool deep : {false, true}) {
      const Checked checked = Check(name, false, deep);
      EXPECT_TRUE(checked.result.healthy()) << checked.text;
      EXPECT_EQ(checked.result.leftover, 0u) << checked.text;
      EXPECT_EQ(checked.files.size(), 3u) << checked.text;  // the journal and two checkpoints
    }
  }
  EXPECT_THAT(Check("finished").text, HasSubstr("12 commits, finished with digest " + digest_));
  EXPECT_THAT(Check("stopped", false, true).text, HasSubstr("every digest proven by replay"));
  EXPECT_EQ(Check("nonesuch").status.code(), StatusCode::kNotFound);
}

// Every part of every record, a few bits each: heads, payloads and chain values of the header, of
// events, commits and the closing record, and the preamble.
TEST_F(FsckTest, FlippedBitsInEveryPartOfTheJournal) {
  const JournalScan scan = *ScanJournal(PosixDisk(), Journal("finished"));
  const uint64_t first = scan.starts[0], commit = scan.starts[5], closing = scan.starts[11];
  const std::vector<uint64_t> places = {0,
                                        7,
                                        8,
                                        12,
                                        16,
                                        20,
                                        24,
                                        28,
                                        32,
                                        60,
                                        400,
                                        first - 33,
                                        first - 32,
                                        first - 1,
                                        commit,
                                        commit + 4,
                                        commit + 8,
                                        commit + 12,
                                        commit + 16,
                                        commit + 20,
                                        commit + 32,
                                        commit + 75,
                                        closing - 33,
                                        closing - 16,
                                        closing,
                                        closing + 20,
                                        scan.bytes - 60,
                                        scan.bytes - 1};
  for (const uint64_t place : places) {
    Copy("finished", "damaged");
    FlipBit(Journal("damaged"), place, static_cast<int>(place % 8));
    ExpectRecovery("damaged", "byte " + std::to_string(place));
  }
}

// A header that can be told for certain costs no commit.
TEST_F(FsckTest, ADamagedHeaderIsRestoredFromACheckpoint) {
  Copy("finished", "damaged");
  const std::string good = Read(Journal("damaged"));
  for (const uint64_t place : {3u, 9u, 17u, 100u, 300u}) {
    Write(Journal("damaged"), good);
    FlipBit(Journal("damaged"), place, 2);
    const Checked repaired = Check("damaged", true);
    EXPECT_THAT(repaired.text, HasSubstr("and is the one that was there")) << place;
    EXPECT_EQ(Read(Journal("damaged")), good) << place;
  }
}

TEST_F(FsckTest, RandomCutsAndFlips) {
  const char* rounds = std::getenv("HATCHERY_ROUNDS");
  const int count = rounds == nullptr ? 60 : std::atoi(rounds);
  const char* given = std::getenv("HATCHERY_SEED");
  const uint64_t seed = given == nullptr ? 20240917 : std::strtoull(given, nullptr, 10);
  std::mt19937_64 random(seed);
  int cuts = 0, flips = 0;
  for (int round = 0; round < count; ++round) {
    const std::string from = random() % 2 == 0 ? "finished" : "stopped";
    Copy(from, "damaged");
    const uint64_t bytes = Read(Journal("damaged")).size();
    const uint64_t place = random() % bytes;
    const bool cut = random() % 2 == 0;
    ++(cut ? cuts : flips);
    if (cut)
      Write(Journal("damaged"), Read(Journal("damaged")).substr(0, place));
    else
      FlipBit(Journal("damaged"), place, static_cast<int>(random() % 8));
    const std::string what = "round " + std::to_string(round) + ": " + from +
                             (cut ? " cut at " : " flipped at ") + std::to_string(place);
    SCOPED_TRACE(what);
    // A cut between two records of a run without later checkpoints is no damage that anybody can
    // see.
    if (!cut) {
      EXPECT_FALSE(Check("damaged").result.healthy());
    }
    ExpectRepairAndSameEnd("damaged");
    if (HasFailure()) return;
  }
  std::printf(
      "fsck: %d rounds of seed %llu, %d cuts and %d flipped bits, all repaired to the same "
      "final digest\n",
      count, static_cast<unsigned long long>(seed), cuts, flips);
}

TEST_F(FsckTest, TheCutTailIsKept) {
  const std::string good = Read(Journal("finished"));
  const uint64_t at = ScanJournal(PosixDisk(), Journal("finished"))->starts[7];
  FlipBit(Journal("finished"), at + 30, 1);
  const std::string damaged = Read(Journal("finished"));
  const Checked checked = Check("finished");
  EXPECT_EQ(checked.files[0].byte, at);
  EXPECT_EQ(checked.files[0].step, 7u);
  EXPECT_THAT(checked.text, HasSubstr("wrong CRC"));
  EXPECT_EQ(Read(Journal("finished")), damaged);  // a check changes nothing
  Check("finished", true);
  EXPECT_EQ(Read(Journal("finished")), good.substr(0, at));
  EXPECT_EQ(Read(Path("finished") + "/journal.cut-" + std::to_string(at)), damaged.substr(at));
}

TEST_F(FsckTest, DamagedCheckpoints) {
  const std::string path = Checkpoint("finished", 12);
  const uint64_t bytes = Read(path).size();
  for (const uint64_t place : {uint64_t{0}, uint64_t{12}, bytes - 1, bytes - 700}) {
    Copy("finished", "damaged");
    FlipBit(Checkpoint("damaged", 12), place, 0);
    ExpectRecovery("damaged", "byte " + std::to_string(place));
    EXPECT_TRUE(PosixDisk().Exists(Checkpoint("damaged", 12)));  // made again
    EXPECT_TRUE(PosixDisk().Exists(Checkpoint("damaged", 12) + ".aside"));
  }
  Copy("finished", "damaged");
  Write(Checkpoint("damaged", 8), Read(path).substr(0, bytes / 2));
  ExpectRecovery("damaged", "cut short");
  Copy("finished", "damaged");
  Write(Checkpoint("damaged", 8), Read(path));
  EXPECT_THAT(Check("damaged").text, HasSubstr("it is of step 12"));
  ExpectRecovery("damaged", "of another step");
}

TEST_F(FsckTest, ACheckpointBeyondTheJournalOrNotItsOwn) {
  Copy("stopped", "damaged");
  Write(Checkpoint("damaged", 12), Read(Checkpoint("finished", 12)));
  EXPECT_THAT(Check("damaged").text, HasSubstr("beyond the journal, which ends at step 9"));
  ExpectRecovery("damaged", "beyond");
  // Right in itself, but not what the journal says of its step.
  v1::Job job = SmallJob();
  auto weights = ReadCheckpoint(PosixDisk(), Checkpoint("stopped", 8))->weights;
  weights[5] ^= 1;
  Write(Checkpoint("stopped", 8), EncodeCheckpoint(job, 8, weights));
  EXPECT_THAT(Check("stopped").text, HasSubstr("but the journal"));
  ExpectRecovery("stopped", "other weights");
}

// Right CRCs and chain around a wrong commit: only the replay can tell.
TEST_F(FsckTest, DeepFindsAWrongCommit) {
  auto reader = JournalReader::Open(PosixDisk(), Journal("finished"));
  std::filesystem::create_directories(Path("forged"));
  auto writer = JournalWriter::Create(PosixDisk(), Journal("forged"), (*reader)->header());
  JournalRecord record;
  while (*(*reader)->Next(record) == JournalReader::Outcome::kRecord) {
    if (auto* commit = std::get_if<CommitRecord>(&record); commit && commit->commit.step == 6)
      commit->commit.fitness[0] = commit->commit.fitness[0] == 0 ? 1 : 0;
    ASSERT_TRUE(std::visit([&](const auto& each) { return (*writer)->Append(each); }, record).ok());
  }
  EXPECT_TRUE(Check("forged").result.healthy());
  const Checked deep = Check("forged", false, true);
  EXPECT_FALSE(deep.result.healthy());
  EXPECT_EQ(deep.files[0].step, 6u);
  const Checked repaired = Check("forged", true, true);
  EXPECT_THAT(repaired.text, HasSubstr("cut to 6 commits"));
  EXPECT_EQ(Train("forged"), digest_);
}

TEST_F(FsckTest, LeftoversOfACrash) {
  Write(Checkpoint("finished", 12) + ".partial", "half a checkpo");
  const Checked checked = Check("finished");
  EXPECT_TRUE(checked.result.healthy());
  EXPECT_EQ(checked.result.leftover, 1u) << checked.text;
  Check("finished", true);
  EXPECT_EQ(Check("finished").result.leftover, 0u);
}

TEST_F(FsckTest, ADirectoryInUseIsLeftAlone) {
  Copy("stopped", "damaged");
  const auto replica = TrainingReplica();
  auto trainer = Trainer::Open(PosixDisk(), Path("damaged"), SmallJob(), *replica, {});
  ASSERT_TRUE(trainer.ok()) << trainer.status().message();
  // As if an append were under way, and a checkpoint.
  Write(Checkpoint("damaged", 12) + ".partial", "half");
  const std::string bytes = Read(Journal("damaged")) + "torn";
  Write(Journal("damaged"), bytes);
  const Checked checked = Check("damaged");
  EXPECT_TRUE(checked.result.healthy()) << checked.text;
  EXPECT_THAT(checked.result.in_use, HasSubstr("another trainer uses"));
  const Checked repair = Check("damaged", true);
  EXPECT_THAT(repair.status.message(), HasSubstr("nothing was repaired: another trainer uses"));
  EXPECT_EQ(Read(Journal("damaged")), bytes);
}

// The weights that a job starts from are in no journal: they come back from the uploaded files.
TEST_F(FsckTest, InitialWeights) {
  const std::string bytes = Read(Checkpoint("finished", 12));
  v1::Job job = SmallJob();
  job.set_initial_digest(digest_);
  job.set_initial_sha256(ToHex(Sha256Of(bytes)));
  const RunDir run(PosixDisk(), Path("second"));
  ASSERT_TRUE(run.Create().ok());
  Write(run.initial_path(), bytes);
  const JournalHeader header{job, *ParseDigest(digest_), "test"};
  ASSERT_TRUE(JournalWriter::Create(PosixDisk(), run.journal_path(), header).ok());
  EXPECT_TRUE(Check("second", false, true).result.healthy());

  FlipBit(run.initial_path(), bytes.size() - 9, 3);
  EXPECT_THAT(Check("second").text, HasSubstr("has not the SHA-256 that the job names"));
  EXPECT_FALSE(Check("second", true).result.healthy());
  std::filesystem::create_directories(Path("files"));
  Write(Path("files") + "/" + job.initial_sha256(), bytes);
  std::vector<State> states;
  RunCheckOptions options;
  options.repair = true;
  options.new_replica = CpuReplica;
  options.files_directory = Path("files");
  const ReportSink report = [&](const FileReport& file) { states.push_back(file.state); };
  ASSERT_TRUE(RunCheck(PosixDisk(), run, options, report).Check().ok());
  EXPECT_THAT(states, testing::ElementsAre(State::kRepaired, State::kOk));  // then the journal
  EXPECT_TRUE(Check("second", false, true).result.healthy());
}

TEST_F(FsckTest, AJournalOfAnotherVersionIsLeftAlone) {
  std::string bytes = Read(Journal("finished"));
  bytes[8] = 9;
  uint32_t length = 0;  // of the first record's payload (docs/journal.md)
  std::memcpy(&length, bytes.data() + 16, 4);
  const uint64_t chain_at = 16 + 16 + length;
  Sha256 hash;
  hash.Update(AsBytes(Sha256Of(bytes.substr(0, 16))));
  hash.Update(bytes.substr(16, chain_at - 16));
  bytes.replace(chain_at, 32, AsBytes(hash.Finish()));
  Write(Journal("finished"), bytes);
  const Checked checked = Check("finished", true);
  EXPECT_FALSE(checked.result.healthy());
  EXPECT_THAT(checked.text, HasSubstr("journal format 9"));
  EXPECT_EQ(Read(Journal("finished")), bytes);
}

}  // namespace
}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Gangs: the real programs under a real mpirun. The same bytes as one process, and no hang and no
// loss when a rank dies.
#include <gmock/gmock.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/service/cluster.h"

namespace hatchery::test {
namespace {

using testing::HasSubstr;

class Mpirun : public Cluster {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(HATCHERY_MPIRUN))
      GTEST_SKIP() << "there is no mpirun, or the build has no MPI";
    // In a sanitizer's build: MPI keeps some memory to the end of the process.
    setenv("LSAN_OPTIONS", "detect_leaks=0", 1);
    Cluster::SetUp();
  }

  static std::vector<std::string> Ranks(int ranks, std::vector<std::string> program) {
    program[0] = HATCHERY_BIN "/" + program[0];
    program.insert(program.begin(),
                   {HATCHERY_MPIRUN, "--quiet", "-np", std::to_string(ranks), "--oversubscribe",
                    "--allow-run-as-root", "--bind-to", "none"});
    return program;
  }
  std::vector<std::string> Train(int ranks, const std::string& out,
                                 std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"hatchery", "train", Path("job.yaml"), "--backend", "cpu",
                               "--threads", "1", "--out", Path(out)});
    return Ranks(ranks, more);
  }
  std::vector<std::string> Worker(int ranks, const std::string& name) const {
    return Ranks(ranks, {"hatchery-worker", "--coordinator", Address(), "--backend", "cpu",
                         "--threads", "1", "--name", name, "--cache-dir", Path("cache-" + name)});
  }
  bool HasJournal(const std::string& out, uintmax_t bytes) {
    std::error_code none;
    const auto size = std::filesystem::file_size(Path(out) + "/journal.hatchery", none);
    return !none && size >= bytes;
  }
  // The process of rank `rank` of those that have this test's directory among their arguments.
  pid_t PidOf(int rank) const {
    const auto contents = [](const std::string& path) {
      std::stringstream text;
      text << std::ifstream(path, std::ios::binary).rdbuf();
      return text.str();
    };
    const std::string mark = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank) + '\0';
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string name = entry.path().filename();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      if (contents(entry.path() / "cmdline").find(directory_) != std::string::npos &&
          contents(entry.path() / "environ").find(mark) != std::string::npos)
        return std::stoi(name);
    }
    ADD_FAILURE() << "no process of rank " << rank;
    return 0;
  }
  void KillRank(int rank) const {
    if (const pid_t pid = PidOf(rank)) kill(pid, SIGKILL);
  }
  // What a gang that lost a rank leaves behind can be proved, and one process goes on from it.
  void ExpectResumable(const std::string& out) {
    const Finished proof = Client({"replay", Path(out), "--verify"});
    EXPECT_EQ(proof.code == 0 || proof.err.find("is cut short") != std::string::npos, true)
        << proof.err;
    const Finished rest = Client({"train", Path("job.yaml"), "--out", Path(out), "--threads", "2"},
                                 std::chrono::seconds(180));
    EXPECT_EQ(rest.code, 0) << rest.err;
    EXPECT_THAT(rest.err, HasSubstr("going on from step"));
    EXPECT_EQ(DigestOf(Path(out)), TrainDigest("job.yaml"));
  }
};

TEST_F(Mpirun, TrainsToTheDigestOfOneProcess) {
  for (const int ranks : {2, 3}) {
    const std::string out = "gang" + std::to_string(ranks);
    const Finished run = RunProgram(Train(ranks, out), Path(out), std::chrono::seconds(120));
    ASSERT_EQ(run.code, 0) << run.err;
    EXPECT_THAT(run.err, HasSubstr(std::to_string(ranks) + " ranks, scores by MPI"));
    EXPECT_EQ(DigestOf(Path(out)), TrainDigest("job.yaml"));
  }
}

TEST_F(Mpirun, MoreRanksThanPairsAndNormalizedFitness) {
  const std::vector<std::string> change = {"--set",   "population=4", "--set",
                                           "steps=6", "--set",        "fitness=normalized"};
  const Finished run = RunProgram(Train(3, "gang", change), Path("gang"));
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(DigestOf(Path("gang")), TrainDigest("job.yaml", change));
}

TEST_F(Mpirun, ADeadRankEndsTheGangAndLosesNothing) {
  for (const int victim : {1, 0}) {
    const std::string out = "killed" + std::to_string(victim);
    Process gang(Train(3, out), Path(out));
    Await("a few steps", [&] { return HasJournal(out, 2500) || !gang.Running(); });
    KillRank(victim);
    const auto code = gang.Wait(std::chrono::seconds(15));
    ASSERT_TRUE(code.has_value()) << "the gang hangs";
    EXPECT_NE(*code, 0);
    if (victim == 1) {
      EXPECT_THAT(gang.Err(), HasSubstr("rank 1, cpu"));
      EXPECT_THAT(gang.Err(), HasSubstr("has ended, and the gang with it"));
    }
    ExpectResumable(out);
  }
}

TEST_F(Mpirun, StopsWhenAsked) {
  Process gang(Train(2, "stopped"), Path("stopped"));
  Await("a few steps", [&] { return HasJournal("stopped", 2500) || !gang.Running(); });
  kill(PidOf(0), SIGTERM);  // as a user's Ctrl-C reaches it
  const auto code = gang.Wait(std::chrono::seconds(15));
  ASSERT_TRUE(code.has_value()) << "the gang hangs";
  EXPECT_EQ(*code, 75) << "what job scripts know a stop by";
  EXPECT_THAT(gang.Err(), HasSubstr("run the same command again to go on"));
  ExpectResumable("stopped");
}

TEST_F(Mpirun, BadInputIsRankZerosToReport) {
  const auto fails = [&](std::vector<std::string> more, const std::string& part) {
    const Finished run = RunProgram(Train(2, "bad", more), Path("bad-" + std::to_string(++runs_)),
                                    std::chrono::seconds(20));
    EXPECT_NE(run.code, 0);
    EXPECT_NE(run.code, -1000) << "it hangs";
    EXPECT_THAT(run.err, HasSubstr(part));
    const auto first = run.err.find("hatchery: ");
    EXPECT_EQ(run.err.find("hatchery: ", first + 1), std::string::npos) << run.err;
  };
  fails({"--set", "noise.rank=9"}, "noise.rank");
  fails({"--devices", "0"}, "the backend is cpu");
  fails({"--data", Path("missing")}, "missing");
}

TEST_F(Mpirun, AGangIsAWorker) {
  Process coordinator = StartCoordinator();
  Process gang(Worker(2, "gang"), Path("gang"));
  const std::string id = Submit("job.yaml");
  WaitForState(id, "finished");
  EXPECT_EQ(FetchDigest(id), TrainDigest("job.yaml"));
  kill(PidOf(0), SIGTERM);
  EXPECT_EQ(gang.Wait(std::chrono::seconds(20)), 0) << gang.Err();
}

TEST_F(Mpirun, AGangThatLosesARankCostsItsShardsOnly) {
  Process coordinator = StartCoordinator();
  Process gang(Worker(2, "gang"), Path("gang"));
  const std::string id = Submit("job.yaml");
  WaitForStep(id, 5);
  KillRank(1);
  const auto code = gang.Wait(std::chrono::seconds(15));
  ASSERT_TRUE(code.has_value()) << "the gang hangs";
  EXPECT_NE(*code, 0);
  Process other = StartWorker("other");
  WaitForState(id, "finished");
  EXPECT_EQ(FetchDigest(id), TrainDigest("job.yaml"));
}

}  // namespace
}  // namespace hatchery::test

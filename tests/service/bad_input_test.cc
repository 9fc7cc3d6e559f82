// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Bad input: one clear line, a non-zero exit, nothing lost.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <thread>

#include "tests/service/cluster.h"

namespace hatchery::test {
namespace {

class BadInput : public Cluster {
 protected:
  // One line that names `what`, and a failing exit.
  void ExpectRefusal(const Finished& run, const std::string& what) {
    EXPECT_GT(run.code, 0) << run.out;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_NE(run.err.find(what), std::string::npos) << run.err;
  }
  Finished Train(const std::string& job, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"train", Path(job), "--out", Path("run")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Client(arguments);
  }
};

TEST_F(BadInput, JobFiles) {
  WriteFile("broken.yaml", "name: x\nmodel: [\n");
  ExpectRefusal(Train("broken.yaml"), "broken.yaml:");
  WriteJob("unknown.yaml", "popluation: 12\n");
  ExpectRefusal(Train("unknown.yaml"), "did you mean population");
  WriteJob("range.yaml", "noise:\n  rank: 9\n");
  ExpectRefusal(Train("range.yaml"), "range.yaml:11: noise.rank is 9");
  ExpectRefusal(Train("job.yaml", {"--set", "group_size=7"}), "group_size");
  ExpectRefusal(Train("job.yaml", {"--set", "group_size=64"}), "not a multiple of group_size 64");
  ExpectRefusal(Train("missing.yaml"), "missing.yaml");
}

TEST_F(BadInput, DataFiles) {
  ExpectRefusal(Train("job.yaml", {"--data", Path("missing.bin")}), "missing.bin");
  WriteFile("empty.bin", "");
  ExpectRefusal(Train("job.yaml", {"--data", Path("empty.bin")}), "empty");
  WriteFile("short.bin", "too short for a window");
  ExpectRefusal(Train("job.yaml", {"--data", Path("short.bin")}), "window");
}

TEST_F(BadInput, RunDirectoryOfAnotherJob) {
  ASSERT_EQ(Train("job.yaml", {"--set", "steps=2"}).code, 0);
  ExpectRefusal(Train("job.yaml", {"--set", "steps=2", "--set", "noise.seed=8"}), "seed");
}

TEST_F(BadInput, DamagedJournalAndCheckpoint) {
  ASSERT_EQ(Train("job.yaml", {"--set", "steps=4"}).code, 0);
  const std::string journal = Path("run/journal.hatchery");
  const auto size = std::filesystem::file_size(journal);
  {
    std::FILE* file = std::fopen(journal.c_str(), "r+b");
    std::fseek(file, static_cast<long>(size / 2), SEEK_SET);
    const int byte = std::fgetc(file);
    std::fseek(file, static_cast<long>(size / 2), SEEK_SET);
    std::fputc(byte ^ 4, file);
    std::fclose(file);
  }
  ExpectRefusal(Client({"replay", Path("run"), "--verify"}), "journal.hatchery");
  const std::string checkpoint = Path("run/checkpoints/step-0000000004.safetensors");
  std::filesystem::resize_file(checkpoint, std::filesystem::file_size(checkpoint) - 1);
  ExpectRefusal(Client({"digest", Path("run")}), "step-0000000004.safetensors");
}

TEST_F(BadInput, NoCoordinator) {
  ExpectRefusal(Client({"jobs", "--coordinator", Address()}), Address());
  ExpectRefusal(Client({"submit", Path("job.yaml"), "--coordinator", Address()}), Address());
}

TEST_F(BadInput, PortInUseAndDataDirectoryInUse) {
  Process coordinator = StartCoordinator();
  ExpectRefusal(
      RunProgram({"hatchery-coordinator", "--listen", Address(), "--data-dir", Path("other")},
                 Path("second")),
      Address());
  ExpectRefusal(RunProgram({"hatchery-coordinator", "--listen",
                            "127.0.0.1:" + std::to_string(FreePort()), "--data-dir", Path("data")},
                           Path("third")),
                Path("data"));
}

TEST_F(BadInput, UnknownJobs) {
  Process coordinator = StartCoordinator();
  ExpectRefusal(Client({"pause", "nonesuch", "--coordinator", Address()}), "nonesuch");
  ExpectRefusal(Client({"fetch", "nonesuch", "--out", Path("x"), "--coordinator", Address()}),
                "nonesuch");
}

TEST_F(BadInput, AModelBeyondMemoryLeavesNoJobBehind) {
  Process coordinator = StartCoordinator();
  ExpectRefusal(Client({"submit", Path("job.yaml"), "--set", "model.hidden=8192", "--set",
                        "model.layers=1024", "--coordinator", Address()}),
                "--max-weight-bytes");
  const Finished huge = Client({"train", Path("job.yaml"), "--out", Path("huge"), "--set",
                                "model.hidden=8192", "--set", "model.layers=1024"});
  ExpectRefusal(huge, "of memory");
  EXPECT_TRUE(std::filesystem::is_empty(Path("data/jobs")));
  EXPECT_TRUE(Ask({"jobs"}).empty());
}

TEST_F(BadInput, ARottenDatasetIsSentAgain) {
  Process coordinator = StartCoordinator();
  Submit("job.yaml");
  const auto stored = std::filesystem::directory_iterator(Path("data/files"))->path();
  const auto size = std::filesystem::file_size(stored);
  std::filesystem::resize_file(stored, size - 1);
  EXPECT_EQ(Submit("job.yaml"), "2");
  EXPECT_EQ(std::filesystem::file_size(stored), size);
}

TEST_F(BadInput, AJobFromGivenWeightsIsFetchedWithThem) {
  ASSERT_EQ(Train("job.yaml", {"--set", "steps=2"}).code, 0);
  Process coordinator = StartCoordinator();
  const std::string id = Submit("job.yaml", {"--init-from", Path("run"), "--set", "steps=2"});
  Process w1 = StartWorker("w1");
  WaitForState(id, "finished");
  ASSERT_EQ(Client({"fetch", id, "--out", Path("copy"), "--coordinator", Address()}).code, 0);
  EXPECT_EQ(Client({"replay", Path("copy"), "--verify"}).code, 0);
}

// The journal stops growing in mid-run: the job pauses with the reason; with room again it goes on
// to the same bytes.
TEST_F(BadInput, FullDiskLosesNothing) {
  // The data file (40,000 bytes) fits below the limit; the journal, 780 bytes a step, reaches it
  // after some fifty steps. There is no checkpoint before the end.
  WriteFile("wide.yaml",
            "model: {hidden: 8, layers: 1}\n"
            "data: {file: data.bin}\n"
            "population: 1200\n"
            "fitness: normalized\n"  // a byte a pair
            "window: 8\n"
            "steps: 60\n"
            "held_out_streams: 32\n");
  Process w1 = StartWorker("w1");
  std::string id;
  {
    Process coordinator = StartCoordinator({.file_bytes = 42'000});
    id = Submit("wide.yaml");
    WaitForState(id, "paused");
    EXPECT_NE(Job(id).value("reason", "").find("journal"), std::string::npos)
        << Job(id).value("reason", "");
    EXPECT_GT(Job(id).at("step").get<uint32_t>(), 0u);
    EXPECT_LT(Job(id).at("step").get<uint32_t>(), static_cast<uint32_t>(kSteps));
    coordinator.Signal(SIGTERM);
    ASSERT_EQ(coordinator.Wait(std::chrono::seconds(20)), 0);
  }
  Process coordinator = StartCoordinator();
  ASSERT_EQ(Client({"resume", id, "--coordinator", Address()}).code, 0);
  WaitForState(id, "finished");
  EXPECT_EQ(FetchDigest(id), TrainDigest("wide.yaml"));
}

}  // namespace
}  // namespace hatchery::test

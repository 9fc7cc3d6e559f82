// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Crashes of real programs: coordinator, workers and `hatchery train` get SIGKILL at random
// moments and are started again, round after round. After each round the final digest is that of
// one undisturbed process, no step that a client has seen is lost, and fsck finds nothing wrong.
// HATCHERY_ROUNDS sets the number of rounds, HATCHERY_SEED the moments; scripts/soak runs 200.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <random>
#include <sstream>
#include <thread>

#include "tests/service/cluster.h"

namespace hatchery::test {
namespace {

using std::chrono::milliseconds;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class Soak : public Cluster {
 protected:
  static constexpr int kMostKills = 8;  // in a round, so that it ends
  struct Kills {
    int coordinators = 0, workers = 0, trainers = 0;
  };

  void SetUp() override {
    Cluster::SetUp();
    WriteFile("soak.yaml",
              "name: soak\n"
              "model: {hidden: 16, layers: 1}\n"
              "data: {file: data.bin}\n"
              "population: 300\n"
              "window: 32\n"
              "steps: 80\n"
              "held_out_streams: 16\n"
              "validate_every: 10\n"
              "checkpoint_every: 5\n"
              "checkpoints_kept: 2\n");
    rounds_ = FromEnvironment("HATCHERY_ROUNDS", 6);
    seed_ = FromEnvironment("HATCHERY_SEED", std::random_device()());
    random_.seed(seed_);
    std::printf("%llu rounds, seed %llu: HATCHERY_ROUNDS=%llu HATCHERY_SEED=%llu repeats them\n",
                static_cast<unsigned long long>(rounds_), static_cast<unsigned long long>(seed_),
                static_cast<unsigned long long>(rounds_), static_cast<unsigned long long>(seed_));
    digest_ = TrainDigest("soak.yaml");
  }

  int Below(int end) { return static_cast<int>(random_() % static_cast<uint64_t>(end)); }
  void SleepBelow(int most) { std::this_thread::sleep_for(milliseconds(Below(most))); }

  void StartTheCoordinator() { coordinator_.emplace(StartCoordinator()); }
  void StartWorkerNumber(size_t i) {
    workers_[i].emplace(StartWorker(std::string("w").append(std::to_string(i))));
  }

  // The job's state, noting how far a client has seen it; nothing while nobody answers.
  std::optional<std::string> Observe(const std::string& id) {
    const Finished answer = Client({"jobs", "--json", "--coordinator", Address()});
    if (answer.code != 0) return std::nullopt;
    std::istringstream lines(answer.out);
    for (std::string line; std::getline(lines, line);) {
      const auto job = nlohmann::json::parse(line);
      if (job.at("job_id") != id) continue;
      const uint32_t step = job.at("step");
      EXPECT_GE(step, seen_) << "announced steps are lost";
      seen_ = std::max(seen_, step);
      return job.at("state");
    }
    ADD_FAILURE() << "job " << id << " is lost: " << answer.out;
    return "lost";
  }

  void KillOne() {
    if (Below(5) < 2) {
      coordinator_->Kill();
      ++kills_.coordinators;
      SleepBelow(150);
      StartTheCoordinator();
      return;
    }
    const size_t i = static_cast<size_t>(Below(static_cast<int>(std::size(workers_))));
    workers_[i]->Kill();
    ++kills_.workers;
    SleepBelow(150);
    StartWorkerNumber(i);
  }

  // The same `hatchery fsck` that a user would run: nothing damaged, every digest proven.
  void ExpectClean(const std::string& directory) {
    const Finished fsck = Client({"fsck", directory, "--deep", "--threads", "1", "--json"});
    EXPECT_EQ(fsck.code, 0) << fsck.out << fsck.err;
    EXPECT_NE(fsck.out.find("proven by replay"), std::string::npos) << fsck.out;
    EXPECT_NE(fsck.out.find("finished with digest " + digest_), std::string::npos) << fsck.out;
  }

  // A submission that the coordinator's death interrupts. What a client was told is so; what it was
  // not told may or may not be, and is submitted again.
  std::string SubmitUnderFire() {
    Process submit({"hatchery", "submit", Path("soak.yaml"), "--coordinator", Address(), "--json"},
                   Path("submit"));
    SleepBelow(100);
    coordinator_->Kill();
    ++kills_.coordinators;
    StartTheCoordinator();
    if (submit.Wait(std::chrono::seconds(30)) != 0) return Submit("soak.yaml");
    const std::string id = nlohmann::json::parse(submit.Out()).at("job_id");
    EXPECT_TRUE(Observe(id).has_value());
    return id;
  }

  void ClusterRound() {
    std::filesystem::remove_all(Path("data"));
    seen_ = 0;
    StartTheCoordinator();
    for (size_t i = 0; i < std::size(workers_); ++i) StartWorkerNumber(i);
    const std::string id = Below(3) == 0 ? SubmitUnderFire() : Submit("soak.yaml");
    int kills = 1 + Below(kMostKills);
    Await(
        "the job to be finished",
        [&] {
          SleepBelow(250);
          if (kills > 0 && kills-- > 0) KillOne();
          return HasFailure() || Observe(id) == "finished";
        },
        std::chrono::seconds(120));
    // The last crash: whatever is being written now.
    for (auto& worker : workers_) worker->Kill();
    coordinator_->Kill();
    ExpectClean(Path("data"));
    const Finished digest = Client({"digest", Path("data/jobs/" + id), "--json"});
    EXPECT_EQ(digest.code, 0) << digest.err;
    EXPECT_NE(digest.out.find(digest_), std::string::npos) << digest.out;
  }

  void TrainerRound() {
    const std::string run = Path("killed-run");
    std::filesystem::remove_all(run);
    const std::vector<std::string> train = {"hatchery",  "train", Path("soak.yaml"), "--out", run,
                                            "--threads", "1"};
    for (int kills = 1 + Below(kMostKills); kills > 0; --kills) {
      Process process(train, Path("killed-train"));
      SleepBelow(400);
      if (!process.Running()) break;
      process.Kill();
      ++kills_.trainers;
    }
    EXPECT_EQ(RunProgram(train, Path("killed-train")).code, 0);
    ExpectClean(run);
  }

  uint64_t rounds_ = 0, seed_ = 0;
  std::mt19937_64 random_;
  std::string digest_;  // of one undisturbed process
  std::optional<Process> coordinator_, workers_[2];
  Kills kills_;
  uint32_t seen_ = 0;  // the furthest step that a client has heard of
};

TEST_F(Soak, KillsAtRandomMomentsChangeNothing) {
  for (uint64_t round = 1; round <= rounds_; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    const Kills before = kills_;
    // One round in four is a trainer's.
    if (round % 4 == 0)
      TrainerRound();
    else
      ClusterRound();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("round %llu: killed coordinator %d, workers %d, trainer %d times; %s; %.1f s\n",
                static_cast<unsigned long long>(round), kills_.coordinators - before.coordinators,
                kills_.workers - before.workers, kills_.trainers - before.trainers,
                HasFailure() ? "WRONG" : "same digest, clean", took.count());
    std::fflush(stdout);
    ASSERT_FALSE(HasFailure()) << "round " << round << " of seed " << seed_;
  }
  std::printf(
      "soak: %llu rounds, %d kills (coordinator %d, workers %d, trainer %d), every final digest "
      "%s, every fsck clean\n",
      static_cast<unsigned long long>(rounds_),
      kills_.coordinators + kills_.workers + kills_.trainers, kills_.coordinators, kills_.workers,
      kills_.trainers, digest_.c_str());
}

}  // namespace
}  // namespace hatchery::test

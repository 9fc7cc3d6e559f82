// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The promise: the same job gives the same bytes, whoever computes it and whoever dies.
#include <csignal>

#include "tests/service/cluster.h"

namespace hatchery::test {
namespace {

class Exactness : public Cluster {
 protected:
  void ExpectContributions(const std::vector<std::string>& names) {
    std::map<std::string, uint64_t> pairs;
    for (const auto& worker : Ask({"workers"}))
      pairs[worker.at("name").get<std::string>()] += worker.at("pairs_done").get<uint64_t>();
    for (const std::string& name : names) EXPECT_GT(pairs[name], 0u) << name;
  }
};

TEST_F(Exactness, OneWorkerAndOneProcess) {
  Process coordinator = StartCoordinator();
  Process worker = StartWorker("w1");
  const std::string id = Submit("job.yaml");
  WaitForState(id, "finished");
  ExpectContributions({"w1"});
  EXPECT_EQ(FetchDigest(id), TrainDigest("job.yaml"));
  for (Process* process : {&worker, &coordinator}) {
    process->Signal(SIGTERM);
    EXPECT_EQ(process->Wait(std::chrono::seconds(20)), 0) << process->Err();
  }
}

TEST_F(Exactness, ThreeWorkers) {
  Process coordinator = StartCoordinator();
  Process w1 = StartWorker("w1"), w2 = StartWorker("w2"), w3 = StartWorker("w3");
  const std::string id = Submit("job.yaml");
  WaitForState(id, "finished");
  ExpectContributions({"w1", "w2", "w3"});
  EXPECT_EQ(FetchDigest(id), TrainDigest("job.yaml"));
}

TEST_F(Exactness, OneKilledInMidStepAndOneJoiningLate) {
  Process coordinator = StartCoordinator();
  Process w1 = StartWorker("w1"), w2 = StartWorker("w2"), w3 = StartWorker("w3");
  const std::string id = Submit("job.yaml");
  WaitForStep(id, 12);
  w2.Kill();  // with leases in hand: workers always hold some while a job runs
  WaitForStep(id, 20);
  Process late = StartWorker("late");
  WaitForState(id, "finished");
  ExpectContributions({"w1", "w2", "w3", "late"});
  EXPECT_EQ(FetchDigest(id), TrainDigest("job.yaml"));
}

TEST_F(Exactness, CoordinatorKilledAndRestarted) {
  Process w1 = StartWorker("w1"), w2 = StartWorker("w2");
  std::string id;
  {
    Process coordinator = StartCoordinator();
    id = Submit("job.yaml");
    WaitForStep(id, 17);
    coordinator.Kill();
  }
  Process coordinator = StartCoordinator();
  WaitForState(id, "finished");
  ExpectContributions({"w1", "w2"});
  EXPECT_EQ(FetchDigest(id), TrainDigest("job.yaml"));
}

TEST_F(Exactness, NormalizedFitnessAndGaussianNoise) {
  WriteJob("other.yaml", "fitness: normalized\nnoise: {kind: gaussian, rank: 2, sigma_shift: 4}\n");
  Process coordinator = StartCoordinator();
  Process w1 = StartWorker("w1"), w2 = StartWorker("w2");
  const std::string id = Submit("other.yaml", {"--set", "steps=12"});
  WaitForState(id, "finished");
  EXPECT_EQ(FetchDigest(id), TrainDigest("other.yaml", {"--set", "steps=12"}));
}

TEST_F(Exactness, PauseResumeAndPriority) {
  Process coordinator = StartCoordinator();
  Process w1 = StartWorker("w1");
  const std::string low = Submit("job.yaml");
  WaitForStep(low, 5);
  ASSERT_EQ(Client({"pause", low, "--coordinator", Address()}).code, 0);
  WaitForState(low, "paused");
  const uint32_t step = Job(low).at("step").get<uint32_t>();
  ASSERT_LT(step, static_cast<uint32_t>(kSteps));
  const std::string high = Submit("job.yaml", {"--set", "priority=5", "--set", "noise.seed=9"});
  ASSERT_EQ(Client({"resume", low, "--coordinator", Address()}).code, 0);
  WaitForState(high, "finished");
  EXPECT_NE(Job(low).at("state"), "finished");  // the higher priority ran first
  WaitForState(low, "finished");
  EXPECT_EQ(FetchDigest(low), TrainDigest("job.yaml"));
  EXPECT_NE(FetchDigest(high), FetchDigest(low));
  const std::string cancelled = Submit("job.yaml");
  ASSERT_EQ(Client({"cancel", cancelled, "--coordinator", Address()}).code, 0);
  WaitForState(cancelled, "cancelled");
}

}  // namespace
}  // namespace hatchery::test

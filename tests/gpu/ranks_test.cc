// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Two ranks under a real mpirun, a GPU each. Skipped with fewer than two.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/cuda/cuda_replica.h"
#include "tests/service/process.h"

namespace hatchery::test {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

class Ranks : public testing::Test {
 protected:
  void SetUp() override {
    if (CudaDeviceCount() < 2) GTEST_SKIP() << "fewer than two CUDA devices on this machine";
    if (!std::filesystem::exists(HATCHERY_MPIRUN))
      GTEST_SKIP() << "there is no mpirun, or the build has no MPI";
    for (const char* allow : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"})
      setenv(allow, "1", 1);
  }

  static Words Train(const std::string& job, const std::string& backend) {
    return {ProgramFolder() + "/train_digest", job, "--steps", "3", "--backend", backend};
  }
  // One rank that trains so, with more in its environment.
  static Words Rank(const std::string& job, const std::string& environment) {
    Words words = {"-np", "1", "env", environment};
    for (const std::string& word : Train(job, "cuda")) words.push_back(word);
    return words;
  }
  static Finished Mpirun(const Words& first, const Words& second) {
    Words words = {HATCHERY_MPIRUN};
    words.insert(words.end(), first.begin(), first.end());
    words.push_back(":");
    words.insert(words.end(), second.begin(), second.end());
    return Run(words);
  }
  static Finished Run(const Words& words) {
    return RunProgram(words, testing::TempDir() + "ranks." + std::to_string(getpid()),
                      std::chrono::seconds(120));
  }
};

TEST_F(Ranks, TrainToTheBytesOfOneProcessAndOfTheCpu) {
  for (const char* job : {"groups2", "rank4"}) {
    const Finished cpu = Run(Train(job, "cpu"));
    ASSERT_EQ(cpu.code, 0) << cpu.err;
    const Finished one = Run(Train(job, "cuda"));
    ASSERT_EQ(one.code, 0) << one.err;
    EXPECT_EQ(one.out, cpu.out);
    const Finished ranks = Mpirun(Rank(job, "RANK=0"), Rank(job, "RANK=1"));
    ASSERT_EQ(ranks.code, 0) << ranks.err;
    EXPECT_EQ(ranks.out, cpu.out);
    EXPECT_THAT(ranks.err, HasSubstr("2 ranks, scores by " HATCHERY_EXCHANGE));
  }
}

// As srun --gpus-per-task=1 starts them: each sees one device, which it calls 0.
TEST_F(Ranks, ThatSeeADeviceEachTakeThat) {
  const Finished cpu = Run(Train("rank4", "cpu"));
  const Finished apart =
      Mpirun(Rank("rank4", "CUDA_VISIBLE_DEVICES=1"), Rank("rank4", "CUDA_VISIBLE_DEVICES=0"));
  ASSERT_EQ(apart.code, 0) << apart.err;
  EXPECT_EQ(apart.out, cpu.out);
  const Finished same =
      Mpirun(Rank("rank4", "CUDA_VISIBLE_DEVICES=1"), Rank("rank4", "CUDA_VISIBLE_DEVICES=1"));
  EXPECT_EQ(same.code, 1);
  EXPECT_THAT(same.err, HasSubstr("has 2 ranks for 1 CUDA device; start one rank a device"));
}

// A rank that cannot start NCCL would be waited for by the other, inside NCCL, for ever.
TEST_F(Ranks, OneWithoutNcclMakesBothUseMpi) {
  if (std::string(HATCHERY_EXCHANGE) != "NCCL") GTEST_SKIP() << "the build has no NCCL";
  const Finished cpu = Run(Train("rank4", "cpu"));
  const std::string bad = "NCCL_SOCKET_IFNAME==none", good = "RANK=good";
  for (const bool first : {false, true}) {
    const Finished run =
        Mpirun(Rank("rank4", first ? bad : good), Rank("rank4", first ? good : bad));
    ASSERT_EQ(run.code, 0) << run.err;
    EXPECT_EQ(run.out, cpu.out);
    EXPECT_THAT(run.err, HasSubstr(std::string("2 ranks, scores by MPI (rank ") +
                                   (first ? "0" : "1") + ": NCCL could not"));
  }
}

}  // namespace
}  // namespace hatchery::test

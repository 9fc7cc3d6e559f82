// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a rank computes on, and what --devices accepts.
#include "services/gang/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/gang.h"

namespace hatchery {
namespace {

using testing::HasSubstr;

TEST(Devices, AreParsedAndBadOnesNamed) {
  EXPECT_EQ(*ParseDevices("0"), std::vector<int>{0});
  EXPECT_EQ(*ParseDevices("3,0,11"), (std::vector<int>{3, 0, 11}));
  for (const char* bad : {"", ",", "0,", "x", "0,y", "-1", "1.5", "0 1", "99999999999"}) {
    const auto devices = ParseDevices(bad);
    ASSERT_FALSE(devices.ok()) << bad;
    EXPECT_THAT(devices.status().message(), HasSubstr("is not the number of a device")) << bad;
  }
  EXPECT_THAT(ParseDevices("0,1,0").status().message(), HasSubstr("names device 0 twice"));
}

TEST(Devices, AreOfTheCudaBackendAndExist) {
  BackendOptions options;
  options.devices = "0";
  options.name = "cpu";
  EXPECT_THAT(ChooseDevices(options).status().message(), HasSubstr("the backend is cpu"));
  options.name = "auto";
  options.devices = "97";
  EXPECT_THAT(ChooseDevices(options).status().message(), HasSubstr("no CUDA device 97"));
  options.name = "abacus";
  EXPECT_THAT(ChooseDevices(options).status().message(), HasSubstr("unknown backend"));
}

TEST(Backend, GpusCanBeDisabledByTheEnvironment) {
  setenv("HATCHERY_DISABLE_GPU", "1", 1);
  BackendOptions options;
  EXPECT_EQ(ChooseDevices(options)->size(), 0u);
  EXPECT_THAT((*CreateReplica({}, {}, options))->Description(), testing::StartsWith("cpu"));
  for (const char* name : {"cuda", "metal"}) {
    options.name = name;
    EXPECT_THAT(CreateReplica({}, {}, options).status().message(),
                testing::AllOf(HasSubstr(name), HasSubstr("but HATCHERY_DISABLE_GPU is set")));
  }
  setenv("HATCHERY_DISABLE_GPU", "0", 1);
  EXPECT_THAT(ChooseDevices(options).status().message(), testing::IsEmpty());
  unsetenv("HATCHERY_DISABLE_GPU");
}

TEST(Backend, MetalIsOfAppleMachines) {
  BackendOptions options;
  options.name = "metal";
#if !defined(__APPLE__)
  EXPECT_THAT(CreateReplica({}, {}, options).status().message(),
              HasSubstr("Metal is there on Apple machines only"));
#endif
  EXPECT_THAT(BackendOfRank(options, {"here", 0, 2, 16, 2}).status().message(),
              HasSubstr("one GPU, which ranks cannot share"));
  options.devices = "0";
  EXPECT_THAT(ChooseDevices(options).status().message(), HasSubstr("the backend is metal"));
}

TEST(BackendOfRank, DividesTheProcessorsThatRanksShare) {
  BackendOptions options;
  options.name = "cpu";
  EXPECT_EQ(BackendOfRank(options, {"here", 0, 2, 16, 2})->threads, 8u);
  EXPECT_EQ(BackendOfRank(options, {"here", 1, 2, 8, 1})->threads, 8u);  // each bound to its own
  EXPECT_EQ(BackendOfRank(options, {"here", 3, 4, 2, 4})->threads, 1u);
  options.threads = 5;
  EXPECT_EQ(BackendOfRank(options, {"here", 0, 2, 16, 2})->threads, 5u);
}

// A host whose ranks may use these devices, written as letters.
LocalPlace HostOf(const std::vector<std::string>& ranks) {
  LocalPlace host{"node7", 0, static_cast<uint32_t>(ranks.size()), 16, 1};
  for (const std::string& devices : ranks) {
    std::vector<DeviceId>& ids = host.devices.emplace_back();
    for (const char device : devices) ids.push_back({static_cast<uint8_t>(device)});
  }
  return host;
}

// What each of them takes, or its error.
std::string Taken(const std::vector<std::string>& ranks) {
  LocalPlace place = HostOf(ranks);
  std::string taken;
  for (place.rank = 0; place.rank < place.ranks; ++place.rank) {
    const auto own = OwnDevice(place);
    taken += own.ok() ? ranks[place.rank][*own] : '!';
  }
  return taken;
}

TEST(OwnDevice, IsAnotherOneForEveryRank) {
  EXPECT_EQ(Taken({"abcd", "abcd", "abcd", "abcd"}), "abcd");  // mpirun, srun --gpu-bind=none
  EXPECT_EQ(Taken({"a", "b", "c", "d"}), "abcd");              // srun --gpus-per-task=1
  EXPECT_EQ(Taken({"ab", "cd"}), "ac");                        // srun --gpus-per-task=2
  EXPECT_EQ(Taken({"ba", "ba"}), "ba");                        // --devices 1,0
  EXPECT_EQ(Taken({"ab", "b"}), "ab");
  EXPECT_EQ(Taken({"", "a"}), "!a");  // the first is on the CPU, and does not ask
}

TEST(OwnDevice, IsNotSharedAndTheErrorSaysWhat) {
  EXPECT_EQ(Taken({"a", "a"}), "a!");
  EXPECT_EQ(Taken({"ab", "ab", "ab"}), "ab!");
  EXPECT_EQ(Taken({"ab", "a"}), "a!");
  LocalPlace place = HostOf({"a", "a"});
  place.rank = 1;
  EXPECT_EQ(OwnDevice(place).status().message(),
            "node7 has 2 ranks for 1 CUDA device; start one rank a device, or use --backend cpu");
  place = HostOf({"ab", "a"});
  place.rank = 1;
  EXPECT_EQ(OwnDevice(place).status().message(),
            "node7 has 2 ranks for 2 CUDA devices, but they were not given one each; start one "
            "rank a device, or use --backend cpu");
}

TEST(RanksLaunched, AreWhatTheEnvironmentSays) {
  const char* names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "SLURM_STEP_NUM_TASKS"};
  for (const char* name : names) unsetenv(name);
  EXPECT_EQ(RanksLaunched(), 1u);
  setenv("SLURM_STEP_NUM_TASKS", "3", 1);  // tasks, but not of MPI
  EXPECT_EQ(RanksLaunched(), 1u);
  setenv("PMIX_RANK", "0", 1);
  EXPECT_EQ(RanksLaunched(), 3u);
  setenv("PMI_SIZE", "4", 1);
  EXPECT_EQ(RanksLaunched(), 4u);
  setenv("OMPI_COMM_WORLD_SIZE", "5", 1);
  EXPECT_EQ(RanksLaunched(), 5u);
  for (const char* name : names) unsetenv(name);
}

}  // namespace
}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// On a machine with a GPU that CUDA cannot use every other test here is skipped, which reads like
// success.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace hatchery {
namespace {

TEST(Device, OfThisMachineCanBeUsed) {
  if (!std::filesystem::exists("/dev/nvidia0")) GTEST_SKIP() << "no NVIDIA GPU on this machine";
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && *visible == 0) GTEST_SKIP() << "CUDA_VISIBLE_DEVICES hides the GPUs";
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  ASSERT_EQ(error, cudaSuccess) << "there is a GPU (/dev/nvidia0), but CUDA cannot use it: "
                                << cudaGetErrorString(error);
  EXPECT_GT(count, 0) << "there is a GPU (/dev/nvidia0), but CUDA finds none";
}

}  // namespace
}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// NCCL's way between ranks, as far as one GPU shows it. Skipped without one.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "kernels/cuda/cuda_replica.h"
#include "services/gang/nccl_link.h"

namespace hatchery {
namespace {

class Nccl : public testing::Test {
 protected:
  void SetUp() override {
    if (CudaDeviceCount() == 0) GTEST_SKIP() << "no CUDA device on this machine";
  }
};

TEST_F(Nccl, GathersScores) {
  const auto id = NcclLink::MakeId();
  ASSERT_TRUE(id.ok()) << id.status().message();
  const auto link = NcclLink::Open(*id, 0, 1, 0, {});
  ASSERT_TRUE(link.ok()) << link.status().message();
  for (const size_t size : {3, 5000, 1}) {
    std::vector<int32_t> mine(size), all(size, -1);
    for (size_t i = 0; i < size; ++i) mine[i] = static_cast<int32_t>(7 * i);
    const Status gathered = (*link)->AllGather(mine, all, [] { return Status(); });
    ASSERT_TRUE(gathered.ok()) << gathered.message();
    EXPECT_EQ(all, mine);
  }
}

TEST_F(Nccl, DoesNotWaitForEverForARankThatFailed) {
  const auto id = NcclLink::MakeId();
  ASSERT_TRUE(id.ok()) << id.status().message();
  std::stop_source stop;
  std::jthread other([&] {  // tells that rank 1 has failed
    std::this_thread::sleep_for(std::chrono::seconds(1));
    stop.request_stop();
  });
  const auto start = std::chrono::steady_clock::now();
  const auto link = NcclLink::Open(*id, 0, 2, 0, stop.get_token());
  EXPECT_EQ(link.status().code(), StatusCode::kCancelled) << link.status().message();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace hatchery

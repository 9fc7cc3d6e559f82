// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The fibers: that they run threads as Metal says, and refuse what Metal leaves undefined.
#include <gtest/gtest.h>

#include <vector>

#include "tests/metal/shim/fibers.h"

namespace shim {
namespace {

TEST(Fibers, ABarrierSeparatesWhatIsBeforeFromWhatIsAfter) {
  for (uint32_t seed : {0u, 1u, 2u, 3u}) {
    Fibers fibers;
    std::vector<int> written(256, 0), sums(256, 0);
    fibers.Run(256, seed, [&](uint32_t thread) {
      for (int round = 0; round < 3; ++round) {
        written[thread] = round + 1;
        ThreadgroupBarrier();
        int sum = 0;
        for (int value : written) sum += value;
        sums[thread] += sum;
        ThreadgroupBarrier();
      }
    });
    for (int sum : sums) ASSERT_EQ(sum, 256 * (1 + 2 + 3));
  }
}

TEST(Fibers, LanesMeetAndGoOn) {
  Fibers fibers;
  std::vector<int> sums(64, 0);
  fibers.Run(64, 5, [&](uint32_t thread) {
    for (int round = 0; round < 4; ++round) {
      int value = static_cast<int>(thread) + round;
      Together("sum", &value, [](void* const brought[]) {
        int sum = 0;
        for (uint32_t i = 0; i < kSimdWidth; ++i) sum += *static_cast<int*>(brought[i]);
        for (uint32_t i = 0; i < kSimdWidth; ++i) *static_cast<int*>(brought[i]) = sum;
      });
      sums[thread] += value;
    }
  });
  for (uint32_t t = 0; t < 64; ++t)
    ASSERT_EQ(sums[t], 4 * (t < 32 ? 496 : 496 + 32 * 32) + 32 * (0 + 1 + 2 + 3));
}

// Without the barrier, the order of the threads shows in the result.
TEST(Fibers, OrdersDiffer) {
  auto first_seen = [](uint32_t seed) {
    Fibers fibers;
    uint32_t first = 999;
    fibers.Run(256, seed, [&](uint32_t thread) {
      if (first == 999) first = thread;
    });
    return first;
  };
  EXPECT_EQ(first_seen(0), 0u);
  EXPECT_TRUE(first_seen(1) != first_seen(2) || first_seen(2) != first_seen(3));
}

void SkipABarrier() {
  Fibers().Run(64, 1, [](uint32_t thread) {
    if (thread != 40) ThreadgroupBarrier();
  });
}
void SkipAMeeting() {
  Fibers().Run(32, 1, [](uint32_t thread) {
    int nothing = 0;
    if (thread != 3) Together("sum", &nothing, [](void* const*) {});
  });
}
void MixMeetings() {
  Fibers().Run(32, 1, [](uint32_t thread) {
    int nothing = 0;
    Together(thread < 16 ? "one" : "two", &nothing, [](void* const*) {});
  });
}

TEST(FibersDeathTest, RefuseWhatMetalLeavesUndefined) {
  EXPECT_DEATH(SkipABarrier(), "a barrier that not all threads");
  EXPECT_DEATH(SkipAMeeting(), "not all lanes of the simdgroup reach");
  EXPECT_DEATH(MixMeetings(), "different simdgroup functions");
}

}  // namespace
}  // namespace shim

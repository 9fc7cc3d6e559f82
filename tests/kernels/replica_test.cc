// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/replica.h"

#include <gtest/gtest.h>

namespace hatchery {
namespace {

TEST(CheckData, AStreamHasTwoBytesToFourGibibytes) {
  JobSpec spec;
  spec.held_out_streams = 3;
  const uint64_t most = 3 * kMaxStreamBytes;
  EXPECT_TRUE(CheckDataSizes(spec, 1000, 0).ok());
  for (uint64_t bytes : {uint64_t{6}, most, most + 2}) {
    EXPECT_TRUE(CheckDataSizes(spec, 1000, bytes).ok()) << bytes;
    EXPECT_TRUE(CheckValidate(spec, 1, 3, bytes).ok()) << bytes;
  }
  for (uint64_t bytes : {uint64_t{5}, most + 3}) {
    EXPECT_EQ(CheckDataSizes(spec, 1000, bytes).code(), StatusCode::kInvalidArgument) << bytes;
    // Without training data, sizes are looked at here.
    EXPECT_EQ(CheckValidate(spec, 1, 3, bytes).code(), StatusCode::kInvalidArgument) << bytes;
  }
  EXPECT_NE(CheckDataSizes(spec, 1000, most + 3).message().find("raise held_out_streams"),
            std::string::npos);
}

}  // namespace
}  // namespace hatchery

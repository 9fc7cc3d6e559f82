// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hatchery::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Of steps 1 to `steps`, and if the job is over a second one of the last.
std::vector<v1::JobUpdate> Updates(uint32_t steps, bool over = false) {
  std::vector<v1::JobUpdate> all;
  for (uint32_t step = 1; step <= steps; ++step) all.emplace_back().set_step(step);
  if (over) {
    all.push_back(all.back());
    all.back().set_digest("final");
  }
  return all;
}

std::vector<uint32_t> StepsOf(const Curve& curve) {
  std::vector<uint32_t> steps;
  for (const v1::JobUpdate& update : curve.updates) steps.push_back(update.step());
  return steps;
}

TEST(Curve, TellsAllWhereThereIsRoom) {
  const Curve curve = CurveOf(Updates(5), 0, UINT32_MAX, 5);
  EXPECT_EQ(curve.stride, 1u);
  EXPECT_THAT(StepsOf(curve), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(StepsOf(CurveOf(Updates(5), 2, 4, 5)), ElementsAre(3, 4));
}

TEST(Curve, ThinsToMultiplesAndTheNewest) {
  const Curve curve = CurveOf(Updates(23), 0, UINT32_MAX, 5);
  EXPECT_EQ(curve.stride, 4u);
  EXPECT_THAT(StepsOf(curve), ElementsAre(4, 8, 12, 16, 20, 23));
  EXPECT_THAT(StepsOf(CurveOf(Updates(23), 7, 21, 7)), ElementsAre(8, 10, 12, 14, 16, 18, 20, 21));
}

TEST(Curve, EndsWithTheLastWordOfTheLastStep) {
  const Curve curve = CurveOf(Updates(3, true), 0, UINT32_MAX, 10);
  EXPECT_THAT(StepsOf(curve), ElementsAre(1, 2, 3));
  EXPECT_EQ(curve.updates.back().digest(), "final");
  EXPECT_EQ(CurveOf(Updates(3, true), 2, 3, 10).updates.at(0).digest(), "final");
}

TEST(Curve, IsEmptyWhereThereIsNothing) {
  EXPECT_THAT(CurveOf({}, 0, UINT32_MAX, 5).updates, IsEmpty());
  EXPECT_THAT(CurveOf(Updates(5), 5, UINT32_MAX, 5).updates, IsEmpty());
  EXPECT_THAT(CurveOf(Updates(5), 4, 2, 5).updates, IsEmpty());
}

}  // namespace
}  // namespace hatchery::coordinator

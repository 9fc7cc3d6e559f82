// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/figures.h"

#include <gtest/gtest.h>

namespace hatchery::worker {
namespace {

// One step: the worker waits, evaluates and commits, each for so long. Returns the end.
double Step(WorkerFigures& figures, double now, double wait, double evaluate, double commit) {
  figures.Turn(Activity::kWait, now);
  figures.Turn(Activity::kEvaluate, now += wait);
  figures.Turn(Activity::kWait, now += evaluate);
  figures.Turn(Activity::kCommit, now);
  figures.Committed(commit, now += commit);
  figures.Turn(Activity::kWait, now);
  return now;
}

TEST(IdleShare, IsOfWholeSteps) {
  WorkerFigures figures;
  double now = Step(figures, 1000, 50, 1, 1);  // a long wait before the first commit does not count
  EXPECT_EQ(figures.idle_share().steps, 0u);
  EXPECT_EQ(figures.idle_share().newest, 0);
  now = Step(figures, now, 1, 2, 1);
  EXPECT_EQ(figures.idle_share().steps, 1u);
  EXPECT_DOUBLE_EQ(figures.idle_share().newest, 0.25);
  EXPECT_DOUBLE_EQ(figures.idle_share().mean, 0.25);
  now = Step(figures, now, 0, 3, 1);
  EXPECT_EQ(figures.idle_share().steps, 2u);
  EXPECT_DOUBLE_EQ(figures.idle_share().newest, 0);
  EXPECT_DOUBLE_EQ(figures.idle_share().mean, 0.125);
  figures.LeftJob();
  now = Step(figures, now + 100, 7, 1, 1);
  EXPECT_EQ(figures.idle_share().steps, 0u);
  EXPECT_EQ(figures.idle_share().mean, 0);
}

}  // namespace
}  // namespace hatchery::worker

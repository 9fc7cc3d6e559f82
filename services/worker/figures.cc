// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/figures.h"

namespace hatchery::worker {

void WorkerFigures::Turn(Activity activity, double now_seconds) {
  const std::lock_guard lock(mutex_);
  if (since_ > 0) seconds_[static_cast<size_t>(activity_)] += now_seconds - since_;
  activity_ = activity;
  since_ = now_seconds;
}

std::array<double, kActivityNames.size()> WorkerFigures::Seconds(double now_seconds) const {
  const std::lock_guard lock(mutex_);
  auto seconds = seconds_;
  if (since_ > 0) seconds[static_cast<size_t>(activity_)] += now_seconds - since_;
  return seconds;
}

void WorkerFigures::Evaluated(double seconds) {
  const std::lock_guard lock(mutex_);
  evaluations_.Add(seconds);
}

void WorkerFigures::Committed(double seconds) {
  const std::lock_guard lock(mutex_);
  commits_.Add(seconds);
}

Distribution WorkerFigures::evaluations() const {
  const std::lock_guard lock(mutex_);
  return evaluations_;
}

Distribution WorkerFigures::commits() const {
  const std::lock_guard lock(mutex_);
  return commits_;
}

}  // namespace hatchery::worker

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

void WorkerFigures::Committed(double seconds, double now_seconds) {
  const std::lock_guard lock(mutex_);
  commits_.Add(seconds);
  const StepEnd end{now_seconds, seconds_[static_cast<size_t>(Activity::kWait)]};
  const auto share = [&end](const StepEnd& begin) {
    return end.time > begin.time ? (end.waited - begin.waited) / (end.time - begin.time) : 0;
  };
  if (first_end_.time == 0) {
    first_end_ = end;
  } else {
    idle_ = {idle_.steps + 1, share(newest_end_), share(first_end_)};
  }
  newest_end_ = end;
}

IdleShare WorkerFigures::idle_share() const {
  const std::lock_guard lock(mutex_);
  return idle_;
}

void WorkerFigures::LeftJob() {
  const std::lock_guard lock(mutex_);
  first_end_ = newest_end_ = {};
  idle_ = {};
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

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/load/timer.h"

#include <utility>

namespace hatchery::load {

Timer::Timer() : thread_([this](const std::stop_token& stop) { Run(stop); }) {}

void Timer::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Timer::After(Clock::duration pause, std::function<void()> what) {
  const auto at = std::chrono::ceil<std::chrono::milliseconds>(Clock::now() + pause);
  std::lock_guard lock(mutex_);
  const auto added = due_.emplace(at, std::move(what));
  if (added == due_.begin()) sooner_.notify_one();
}

void Timer::Run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (due_.empty()) {
      sooner_.wait(lock, stop, [this] { return !due_.empty(); });
      continue;
    }
    const Clock::time_point first = due_.begin()->first;
    if (Clock::now() < first) {
      sooner_.wait_until(lock, stop, first, [&] { return due_.begin()->first < first; });
      continue;
    }
    const std::function<void()> what = std::move(due_.begin()->second);
    due_.erase(due_.begin());
    lock.unlock();
    what();
    lock.lock();
  }
}

}  // namespace hatchery::load

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace hatchery::load {

// Calls functions later, from one thread. Wakes at most once a millisecond, so that thousands of
// simulated workers cost few wake-ups. Thread-safe.
class Timer {
 public:
  using Clock = std::chrono::steady_clock;

  Timer();
  ~Timer() { Stop(); }
  // When it returns, nothing is being called and nothing will be; what is not due yet is dropped.
  void Stop();
  // `what` may call After in its turn.
  void After(Clock::duration pause, std::function<void()> what);

 private:
  void Run(const std::stop_token& stop);

  std::mutex mutex_;
  std::condition_variable_any sooner_;
  std::multimap<Clock::time_point, std::function<void()>> due_;
  std::jthread thread_;  // last: it uses the rest
};

}  // namespace hatchery::load

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace hatchery {

// SIGINT and SIGTERM, taken by a thread of our own for as long as it lives. Create it before any
// other thread: the signals are blocked in the calling thread, and so in every thread that is
// started later, and stay blocked afterwards.
class StopSignals {
 public:
  // `heard` is called for each signal, on that thread.
  explicit StopSignals(std::function<void(int signal)> heard);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Blocks or unblocks both signals in the calling thread.
  static void Block();
  static void Unblock();
  // Waits for one of them, which every thread must have blocked.
  static int Wait();

 private:
  std::atomic<bool> done_ = false;
  std::thread waiter_;
};

}  // namespace hatchery

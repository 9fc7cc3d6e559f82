// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace hatchery {

// A thread that does one piece of work at a time, so that a device is always driven by the same
// thread. Destroying it waits for the work in progress.
class WorkThread {
 public:
  using Work = std::function<void()>;

  WorkThread();
  ~WorkThread();
  WorkThread(const WorkThread&) = delete;
  WorkThread& operator=(const WorkThread&) = delete;

  // Begins `work`. The work before it must be done.
  void Start(Work work);
  // Waits until the work is done. Whatever it wrote can then be read here.
  void Wait();
  // The same, for at most `limit`; whether it is done.
  bool WaitFor(std::chrono::microseconds limit);

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  Work work_;  // empty: nothing to do
  bool end_ = false;
  std::thread thread_;  // last: starts when all the rest is there
};

}  // namespace hatchery

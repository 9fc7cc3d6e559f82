// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stop_token>
#include <thread>

namespace hatchery {

// Turns SIGINT and SIGTERM into a stop request for as long as it lives. Create it before any other
// thread: the signals are blocked in every thread that is started later, and taken by one of ours.
class StopOnSignal {
 public:
  StopOnSignal();
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::stop_source stop_;
  std::jthread waiter_;
};

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <stop_token>

#include "services/common/stop_signals.h"

namespace hatchery {

// Turns SIGINT and SIGTERM into a stop request for as long as it lives. Create it before any other
// thread (StopSignals says why).
class StopOnSignal {
 public:
  StopOnSignal();
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::stop_source stop_;
  std::optional<StopSignals> signals_;
};

}  // namespace hatchery

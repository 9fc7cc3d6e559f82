// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/stop_on_signal.h"

namespace hatchery {

StopOnSignal::StopOnSignal() {
  signals_.emplace([this](int) { stop_.request_stop(); });
}

StopOnSignal::~StopOnSignal() {
  signals_.reset();
  StopSignals::Unblock();
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/watchdog.h"

#include <utility>

namespace hatchery::coordinator {

Watchdog::Watch::Watch(Watchdog& watchdog, std::function<void()> cut_off)
    : watchdog_(watchdog), cut_off_(std::move(cut_off)) {
  std::lock_guard lock(watchdog_.mutex_);
  watchdog_.watches_.insert(this);
}

Watchdog::Watch::~Watch() {
  std::lock_guard lock(watchdog_.mutex_);
  watchdog_.watches_.erase(this);
}

Watchdog::Watchdog() : thread_([this](const std::stop_token& stop) { Run(stop); }) {}

void Watchdog::Run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    pause_.wait_for(lock, stop, std::chrono::milliseconds(500), [] { return false; });
    const Clock::duration now = Clock::now().time_since_epoch();
    for (Watch* watch : watches_) {
      if (watch->deadline_.load() > now) continue;
      watch->Disarm();
      watch->cut_off_();  // under the lock, so that the call lives
    }
  }
}

}  // namespace hatchery::coordinator

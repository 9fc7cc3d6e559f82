// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/stop_on_signal.h"

#include <csignal>
#include <ctime>

namespace hatchery {
namespace {

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

StopOnSignal::StopOnSignal() {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  waiter_ = std::jthread([this, signals](std::stop_token done) {
    const timespec pause = {0, 100'000'000};
    while (!done.stop_requested())
      if (sigtimedwait(&signals, nullptr, &pause) > 0) stop_.request_stop();
  });
}

StopOnSignal::~StopOnSignal() {
  waiter_.request_stop();
  waiter_.join();
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

}  // namespace hatchery

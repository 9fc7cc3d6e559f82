// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/stop_signals.h"

#include <pthread.h>

#include <csignal>
#include <utility>

namespace hatchery {
namespace {

sigset_t Both() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

void SetMask(int how) {
  const sigset_t signals = Both();
  pthread_sigmask(how, &signals, nullptr);
}

}  // namespace

StopSignals::StopSignals(std::function<void(int)> heard) {
  Block();
  waiter_ = std::thread([this, heard = std::move(heard)] {
    for (int signal = Wait(); !done_; signal = Wait()) heard(signal);
  });
}

StopSignals::~StopSignals() {
  done_ = true;
  // sigwait cannot be given a limit (macOS has no sigtimedwait), so its thread gets a signal to
  // itself.
  pthread_kill(waiter_.native_handle(), SIGTERM);
  waiter_.join();
}

void StopSignals::Block() { SetMask(SIG_BLOCK); }
void StopSignals::Unblock() { SetMask(SIG_UNBLOCK); }

int StopSignals::Wait() {
  const sigset_t signals = Both();
  int signal = 0;
  sigwait(&signals, &signal);
  return signal;
}

}  // namespace hatchery

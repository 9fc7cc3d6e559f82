// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

namespace hatchery::coordinator {

// Cancels calls whose peer has stopped reading or sending: gRPC waits for such a peer for ever, and
// a thread or a queue of ours with it. One thread for all calls. Thread-safe.
class Watchdog {
 public:
  using Clock = std::chrono::steady_clock;

  // One call. It must not outlive the watchdog.
  class Watch {
   public:
    // Of the call with that context, which must outlive it.
    Watch(Watchdog& watchdog, grpc::ServerContextBase& context)
        : Watch(watchdog, [&context] { context.TryCancel(); }) {}
    // `cut_off` ends the call; it must return at once, and is called with the watchdog locked.
    Watch(Watchdog& watchdog, std::function<void()> cut_off);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    // Cancels the call unless Arm or Disarm is called again within `patience`, give or take half a
    // second. Cheap.
    void Arm(Clock::duration patience) { deadline_ = (Clock::now() + patience).time_since_epoch(); }
    void Disarm() { deadline_ = kNever; }

   private:
    friend class Watchdog;
    static constexpr Clock::duration kNever = Clock::duration::max();
    Watchdog& watchdog_;
    const std::function<void()> cut_off_;
    std::atomic<Clock::duration> deadline_ = kNever;
  };

  Watchdog();

 private:
  void Run(const std::stop_token& stop);

  std::mutex mutex_;
  std::condition_variable_any pause_;
  std::set<Watch*> watches_;
  std::jthread thread_;  // last: it uses the rest
};

}  // namespace hatchery::coordinator

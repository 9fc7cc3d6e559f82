// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a worker counts for those who watch it. Written by the threads that work and the one that
// reads the stream, without locks where a message passes; read at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "services/common/distribution.h"

namespace hatchery::worker {

// What the compute thread does; the order of Work in session.h, then waiting.
enum class Activity {
  kProve,
  kLoad,
  kCatchUp,
  kEvaluate,
  kCommit,  // Apply
  kUpload,
  kClose,
  kWait,
};
inline constexpr std::array kActivityNames = {"prove",  "load",   "catch_up", "evaluate",
                                              "commit", "upload", "close",    "wait"};

// How much of whole steps, from the end of one commit to the end of the next, the replica waited
// for work. Shares are in [0, 1]; 0 before the first whole step.
struct IdleShare {
  uint64_t steps = 0;
  double newest = 0, mean = 0;  // of the newest step, and of all of them together
};

class WorkerFigures {
 public:
  // The compute thread turns to something else.
  void Turn(Activity activity, double now_seconds);
  // Seconds of each activity until `now_seconds`, that of the present one included.
  std::array<double, kActivityNames.size()> Seconds(double now_seconds) const;

  // One piece of work is done, in `seconds`. A commit ends a step; it is called while the compute
  // thread is still at it.
  void Evaluated(double seconds);
  void Committed(double seconds, double now_seconds);
  Distribution evaluations() const;
  Distribution commits() const;

  // Of the steps of the present job; LeftJob ends it.
  IdleShare idle_share() const;
  void LeftJob();

  std::atomic<bool> connected = false;
  std::atomic<uint64_t> connects = 0;
  std::atomic<uint32_t> step = 0;  // that the replica is at
  std::atomic<uint64_t> pairs = 0, tokens = 0, shards_done = 0, shards_failed = 0;
  std::atomic<uint64_t> bytes_received = 0, bytes_sent = 0;

 private:
  mutable std::mutex mutex_;
  Activity activity_ = Activity::kWait;
  double since_ = 0;
  std::array<double, kActivityNames.size()> seconds_{};
  Distribution evaluations_, commits_;
  // The end of a commit: when, and kWait's seconds until then.
  struct StepEnd {
    double time = 0, waited = 0;
  };
  StepEnd first_end_, newest_end_;
  IdleShare idle_;
};

}  // namespace hatchery::worker

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "services/common/backend.h"
#include "services/worker/chaos.h"
#include "services/worker/event_queue.h"
#include "services/worker/figures.h"
#include "services/worker/loader.h"
#include "services/worker/session.h"

namespace hatchery::worker {

// The thread that owns the replica and does the session's work, one piece at a time; every Start is
// answered by one Completed on `events`. Stops what it is doing when destroyed.
class Executor {
 public:
  // `stub`, `loader`, `figures` and `events` must outlive this.
  Executor(v1::WorkerService::Stub& stub, Loader& loader, ReplicaFactory create, Chaos chaos,
           WorkerFigures& figures, EventQueue& events);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  void Start(Work work);
  void Cancel();

 private:
  void Loop(std::stop_token ended);

  Completed Do(const Prove& work, std::stop_token stop);
  Completed Do(const Load& work, std::stop_token stop);
  Completed Do(const CatchUp& work, std::stop_token stop);
  Completed Do(const Evaluate& work, std::stop_token stop);
  Completed Do(const Apply& work, std::stop_token stop);
  Completed Do(const Upload& work, std::stop_token stop);
  Completed Do(const Close& work, std::stop_token stop);

  Status EvaluatePairs(const v1::PairRange& pairs, std::stop_token stop, v1::ShardScores& out);
  Status EvaluateHeldOut(const v1::StreamRange& streams, std::stop_token stop,
                         v1::HeldOutSums& out);
  void CountShard(const v1::Lease& lease, const Status& status, double seconds);
  // Computes the replica's digest anew.
  Status TakeDigest();
  // Fills step and digest from the replica.
  Completed WithReplica(Status status) const;

  v1::WorkerService::Stub& stub_;
  Loader& loader_;
  const ReplicaFactory create_;
  WorkerFigures& figures_;
  EventQueue& events_;

  Chaos chaos_;
  std::optional<LoadedJob> loaded_;  // the compute thread's own
  std::jthread upload_;              // the last checkpoint's

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<Work> next_;
  std::stop_source cancel_;  // of the work in progress or next

  std::jthread thread_;  // last: starts when all the rest is there
};

}  // namespace hatchery::worker

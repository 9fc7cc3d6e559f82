// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "services/common/backend.h"
#include "services/common/dataset.h"
#include "services/common/journal.h"
#include "services/coordinator/core.h"
#include "services/coordinator/job_store.h"

namespace hatchery::coordinator {

// The coordinator's own opinion, when its workers' differ: replays a job's journal on this machine
// and evaluates single shards. Keeps the last replica, so that a later step of the same job is
// reached from there. One call at a time.
class Referee {
 public:
  // `disk` and `store` must outlive this.
  Referee(Disk& disk, const JobStore& store, BackendOptions backend)
      : disk_(disk), store_(store), backend_(std::move(backend)) {}

  // kDataLoss if the journal's digests up to the step do not follow from its commits; kCancelled
  // soon after `stop` is requested.
  StatusOr<Finding> Judge(const AskReferee& question, std::stop_token stop);

 private:
  // Brings replica_ to a step of the job: from where it is, or else from the newest checkpoint
  // before that step, or else from step 0.
  Status Reach(const std::string& job, uint32_t step, const std::stop_token& stop);
  // Makes replica_ a fresh one of the job.
  Status Begin(const std::string& job);
  // Replays the journal from replica_'s step on.
  Status Advance(uint32_t step, const std::stop_token& stop);
  // On replica_ as it is.
  StatusOr<Part> Evaluate(const Range& range, std::stop_token stop);

  Disk& disk_;
  const JobStore& store_;
  const BackendOptions backend_;
  std::string job_id_;  // of what follows; empty: nothing is held
  v1::Job job_;
  Dataset data_;
  std::unique_ptr<Replica> replica_;
};

}  // namespace hatchery::coordinator

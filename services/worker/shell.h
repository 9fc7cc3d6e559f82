// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "services/common/backend.h"
#include "services/common/connection.h"
#include "services/common/metrics.h"
#include "services/worker/chaos.h"
#include "services/worker/event_queue.h"

namespace hatchery::worker {

struct WorkerOptions : ConnectionOptions {
  std::string name;             // empty: host and process
  std::string cache_directory;  // empty: under XDG_CACHE_HOME, else ~/.cache
  std::vector<std::string> files;
  ReplicaFactory create = FactoryOf({});  // on what this worker computes
  uint32_t retry_seconds = 0;
  Chaos chaos;
  MetricsOptions metrics;
  std::vector<int> gpus;  // CUDA devices that `create` uses, for the metrics
};

// Runs a worker until it ends: drives the session with a real clock, stream and replica. Others may
// push events, StopRequested above all. Returns the process's exit status; an error if the worker
// cannot even start.
StatusOr<int> RunWorker(const WorkerOptions& options, EventQueue& events);

}  // namespace hatchery::worker

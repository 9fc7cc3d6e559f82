// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hatchery/v1/coordinator.pb.h"
#include "kernels/device_memory.h"
#include "services/common/metrics.h"
#include "services/worker/figures.h"

namespace hatchery::worker {

// Seconds of a clock that does not go back.
double MonotonicSeconds();

// A worker's metrics, as docs/metrics.md lists them. `memories`: of its GPUs.
void WriteMetrics(const WorkerFigures& figures, const v1::Hello& hello,
                  const std::vector<DeviceMemory>& memories, MetricsPage& page);

}  // namespace hatchery::worker

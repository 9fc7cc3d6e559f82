// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "services/common/metrics.h"
#include "services/coordinator/engine.h"
#include "services/coordinator/limits.h"

namespace hatchery::coordinator {

// The coordinator's metrics, as docs/metrics.md lists them.
void WriteMetrics(const Engine& engine, const Bounds& bounds, MetricsPage& page);

}  // namespace hatchery::coordinator

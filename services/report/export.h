// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A run's metrics, a row a step, for other programs. docs/report.md lists the columns and tags.
#pragma once

#include <string>
#include <vector>

#include "services/report/figures.h"
#include "services/report/tensorboard.h"

namespace hatchery::report {

// With a header line; numbers with a decimal point, empty where unknown; no field needs quotes.
std::string MetricsToCsv(const Run& run);

// The same as scalars, steps without any left out.
std::vector<ScalarEvent> MetricsToEvents(const Run& run);

}  // namespace hatchery::report

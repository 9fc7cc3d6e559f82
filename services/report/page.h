// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A run as one HTML file that needs no other. The same run gives the same bytes.
#pragma once

#include <string>

#include "services/report/figures.h"

namespace hatchery::report {

struct PageOptions {
  std::string prompt;        // that the samples go on from
  SamplingOptions sampling;  // how they were drawn
};

std::string RenderPage(const Run& run, const PageOptions& options);

}  // namespace hatchery::report

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "tests/simulation/lab.h"
#include "tests/simulation/world.h"

namespace hatchery::simulation {

// Runs plans. Holds what all runs share: the jobs, their truth, and a directory with their data.
class Trials {
 public:
  explicit Trials(Bug bug);
  ~Trials();
  Outcome Run(const Plan& plan, std::ostream* trace);
  // The plan without the faults that its failure does not need.
  Plan Shrink(Plan plan);

 private:
  const Bug bug_;
  std::string directory_, data_;
  std::vector<std::unique_ptr<Lab>> labs_;
};

}  // namespace hatchery::simulation

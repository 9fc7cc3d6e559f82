// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "tests/simulation/lab.h"
#include "tests/simulation/world.h"

namespace hatchery::simulation {

// A directory with the data of all jobs, for as long as this lives.
class TrialData {
 public:
  TrialData();
  ~TrialData();
  TrialData(const TrialData&) = delete;
  TrialData& operator=(const TrialData&) = delete;
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
};

// Runs plans. Holds what all runs share: the jobs and their truth. One a process.
class Trials {
 public:
  // `directory` is that of a TrialData.
  Trials(Bug bug, const std::string& directory);
  Outcome Run(const Plan& plan, std::ostream* trace);

 private:
  const Bug bug_;
  const std::string directory_, data_;
  std::vector<std::unique_ptr<Lab>> labs_;
};

}  // namespace hatchery::simulation

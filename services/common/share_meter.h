// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"

namespace hatchery {

// Which part of a job's pairs each worker did lately, from their counters.
class ShareMeter {
 public:
  // `seconds` of any clock that does not go back.
  void Add(double seconds, const std::vector<v1::WorkerState>& workers);
  // Of the pairs that were accepted for the worker's job over the last ten seconds, [0, 1]; none
  // before there were any.
  std::optional<double> Of(const v1::WorkerState& worker) const;

 private:
  struct Sample {
    double seconds;
    std::map<std::string, uint64_t> pairs;  // by worker
  };

  std::deque<Sample> samples_;  // oldest first
  std::map<std::string, double> shares_;
};

}  // namespace hatchery

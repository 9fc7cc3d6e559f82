// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The tiny real jobs of the simulation, and their arithmetic. A simulated worker holds real weights;
// what they score and become is computed by a real replica, once, and remembered: it is a pure
// function of the weights.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"
#include "kernels/replica.h"
#include "services/common/journal.h"

namespace hatchery::simulation {

// A model at a step. Never changed: a bit flip makes another one.
struct Weights {
  std::vector<int8_t> bytes;
  std::string digest;  // 16 bytes, of `bytes`
};
using WeightsPtr = std::shared_ptr<const Weights>;

class Lab {
 public:
  // `data` must outlive this.
  Lab(const v1::Job& job, const std::string& data);

  const v1::Job& job() const { return job_; }
  const JobSpec& spec() const { return spec_; }

  WeightsPtr Initial() const { return truth_.front(); }
  static WeightsPtr Make(std::vector<int8_t> bytes);
  v1::ShardScores Scores(const WeightsPtr& weights, uint32_t step, Shard shard);
  HeldOutSums HeldOut(const WeightsPtr& weights, uint32_t begin, uint32_t end);
  WeightsPtr Apply(const WeightsPtr& weights, const Commit& commit);

  // The run of one process: the weights at every step, its commits and its end.
  const std::vector<WeightsPtr>& truth() const { return truth_; }
  const std::vector<CommitRecord>& commits() const { return commits_; }
  const ClosingRecord& closing() const { return closing_; }

 private:
  void Hold(const WeightsPtr& weights, uint32_t step);
  CommitRecord MakeRecord(uint32_t step);

  v1::Job job_;
  JobSpec spec_;
  std::unique_ptr<Replica> replica_;
  WeightsPtr held_;  // what the replica holds
  std::vector<WeightsPtr> truth_;
  std::vector<CommitRecord> commits_;
  ClosingRecord closing_;
  std::map<std::string, std::vector<int32_t>> scores_;  // by digest and step: all members'
  std::map<std::string, HeldOutSums> held_out_;
  std::map<std::string, WeightsPtr> applied_;
};

}  // namespace hatchery::simulation

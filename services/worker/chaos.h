// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Misbehaviour on demand, for tests and drills: does the service find a worker that is broken or
// lies? Never part of a normal run.
#pragma once

#include <cstdint>
#include <map>
#include <stop_token>
#include <string>

#include "hatchery/v1/coordinator.pb.h"
#include "kernels/replica.h"
#include "kernels/status.h"

namespace hatchery::worker {

class Chaos {
 public:
  // "flip@20,lie@30": what, and from which step on; empty: nothing.
  //   flip     a bit of the weights changes, once
  //   lie      every shard's scores are wrong, of pairs and of held-out streams
  //   stall    one shard takes for ever
  //   garbage  one result is malformed
  static StatusOr<Chaos> Parse(const std::string& text);

  // Called before every evaluation of pairs at `step`, and after one of either kind.
  Status Before(uint32_t step, Replica& replica, const std::stop_token& stop);
  void After(uint32_t step, v1::ShardScores& scores);
  void After(uint32_t step, v1::HeldOutSums& sums) const;

 private:
  bool Lies(uint32_t step) const;
  // Whether it is time for what happens but once.
  bool Once(const std::string& what, uint32_t step);
  std::map<std::string, uint32_t> from_;
};

}  // namespace hatchery::worker

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <random>
#include <vector>

#include "kernels/replica.h"

namespace hatchery {

// A job that a scalar loop can follow.
inline JobSpec TinyJob() {
  JobSpec spec;
  spec.hidden = 20;
  spec.layers = 2;
  spec.seed = 0x123456789ABCDEF0;
  spec.population = 24;
  spec.group_size = 4;
  spec.window = 21;
  spec.burn_in = 3;
  spec.held_out_streams = 5;
  return spec;
}

inline std::vector<uint8_t> RandomBytes(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(n);
  for (auto& b : bytes) b = static_cast<uint8_t>(random());
  return bytes;
}

// A commit of step `step` with random fitness.
inline Commit RandomCommit(const JobSpec& spec, uint32_t step) {
  std::mt19937 random(step + 77);
  std::vector<int32_t> scores(spec.population);
  for (auto& s : scores) s = static_cast<int32_t>(random() % 5);
  return spec.fitness == FitnessRule::kSign ? MakeSignCommit(spec, step, EncodeSigns(scores))
                                            : MakeNormalizedCommit(spec, step, scores);
}

}  // namespace hatchery

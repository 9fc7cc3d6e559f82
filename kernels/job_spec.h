// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/core/noise.h"
#include "kernels/status.h"

namespace hatchery {

// How scores become fitness (docs/contract.md, section 7).
enum class FitnessRule : uint8_t {
  kSign = 0,        // sign of the pair's score difference; ternary on the wire
  kNormalized = 1,  // the difference over the population's mean magnitude; needs int32 scores
};

// Everything that determines a run's bytes, apart from the data. Two jobs with equal specs and
// equal data have equal digests at every step.
struct JobSpec {
  // Model `egg`.
  uint32_t hidden = 256;  // D, [1, 8192]
  uint32_t layers = 6;    // L, [1, 1024]

  uint64_t seed = 1;

  // Perturbation.
  core::Noise noise = core::Noise::kRademacher;
  uint32_t rank = 1;         // [1, 8]
  uint32_t sigma_shift = 3;  // sigma = 2^(4 - sigma_shift) weight units; [0, 4] or [0, 12]
  uint32_t noise_reuse = 1;  // steps that share one noise; 0: all of them

  // Population and data.
  uint32_t population = 32768;  // members, even, [2, 2^24], a multiple of group_size
  uint32_t group_size = 2;      // members that share a window, even
  uint32_t window = 100;        // scored tokens a member and step, [1, 16384]
  uint32_t burn_in = 0;         // unscored tokens before them, [0, 16384]
  uint32_t held_out_streams = 1024;

  // Fitness and update.
  FitnessRule fitness = FitnessRule::kSign;
  uint32_t steps = 1000;
  uint32_t alpha_start = 65536;       // in 1/65536, [1, 65536]
  uint32_t alpha_decay_bits = 4;      // alpha falls by 2^-bits over alpha_decay_steps; [0, 16]
  uint32_t alpha_decay_steps = 1000;  // [1, 2^31)

  uint32_t pairs() const { return population / 2; }
  // Group whose window both members of `pair` read.
  uint32_t GroupOfPair(uint32_t pair) const { return pair / (group_size / 2); }
  // Bytes that one window reads: inputs and the last target.
  uint64_t WindowBytes() const { return uint64_t{burn_in} + window + 1; }

  // OK if every field is in its range and they fit together; else which field, and its range.
  Status Validate() const;

  bool operator==(const JobSpec&) const = default;
};

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The oracle: a deliberately slow, scalar second implementation of docs/contract.md. It shares no
// code with kernels/ or any backend: its own Philox, its tables computed at start-up in long
// double, its own layout. It materialises every perturbation P = s A B^T. For tests only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace oracle {

using std::size_t;

struct Job {
  uint32_t hidden = 0, layers = 0;
  uint64_t seed = 0;
  bool gaussian = false;
  uint32_t rank = 1, sigma_shift = 4, noise_reuse = 1;
  uint32_t population = 2, group_size = 2, window = 1, burn_in = 0, held_out_streams = 1;
  uint32_t alpha_start = 65536, alpha_decay_bits = 4, alpha_decay_steps = 1000;
  // The reference's departures from the contract: activations clip at -127, gates add 127.
  bool reference_arithmetic = false;
};

using Bytes = std::vector<uint8_t>;
using Weights = std::vector<int8_t>;  // a whole replica, padding included

struct HeldOut {
  int64_t score = 0, coarse_score = 0;
  uint64_t correct = 0, tokens = 0;
};

struct Tables {
  std::array<int, 256> normal;
  std::array<uint32_t, 256> exp2;
  std::array<uint32_t, 257> log2, z;
  int normal_mean_square;
};
const Tables& TheTables();

std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, uint64_t key);

Weights InitialWeights(const Job& job);

// Scores of both members of pairs [begin, end), 1/4096 bit.
std::vector<int32_t> Scores(const Job& job, const Weights& weights, uint32_t step,
                            const Bytes& train, uint32_t begin, uint32_t end);

HeldOut Validate(const Job& job, const Weights& weights, const Bytes& held_out, uint32_t begin,
                 uint32_t end);

// From the scores of a whole population to one fitness a pair.
std::vector<int> SignFitness(const std::vector<int32_t>& scores);
std::vector<int> NormalizedFitness(const std::vector<int32_t>& scores);

uint32_t Alpha(const Job& job, uint32_t step);
uint32_t ZScore(uint32_t alpha);
uint64_t Threshold(uint32_t z, uint64_t variance, uint64_t sum_squares);

// The weights after `step`, whose schedule follows from the job.
Weights Update(const Job& job, const Weights& weights, uint32_t step,
               const std::vector<int>& fitness);

std::array<uint64_t, 2> Digest(const Weights& weights);

}  // namespace oracle

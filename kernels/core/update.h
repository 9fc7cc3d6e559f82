// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// From scores to a weight's step (docs/contract.md, sections 7 and 8). Under no signal the sum
// Z = sum_p f_p * noise_p has mean 0 and variance v * sum f^2, so a threshold is a z-score.
#pragma once

#include "kernels/core/arithmetic.h"
#include "kernels/core/score.h"

namespace hatchery::core {

struct Word128 {
  uint64_t high, low;
};

HATCHERY_HD constexpr Word128 Multiply(uint64_t a, uint64_t b) {
  const uint64_t a0 = a & 0xFFFFFFFFu, a1 = a >> 32;
  const uint64_t b0 = b & 0xFFFFFFFFu, b1 = b >> 32;
  const uint64_t low = a0 * b0;
  const uint64_t middle = a1 * b0 + (low >> 32);
  const uint64_t cross = a0 * b1 + (middle & 0xFFFFFFFFu);
  return Word128{a1 * b1 + (middle >> 32) + (cross >> 32), cross << 32 | (low & 0xFFFFFFFFu)};
}

// The fraction of weights that pure noise would move at `step`, in 1/65536: at least 1.
// alpha_t = start / ((2^decay_bits - 1) t / decay_steps + 1), floored.
HATCHERY_HD constexpr uint32_t Alpha(uint32_t step, uint32_t start, uint32_t decay_bits,
                                     uint32_t decay_steps) {
  const uint64_t growth = ((uint64_t{1} << decay_bits) - 1) * step;
  const uint64_t alpha = uint64_t{start} * decay_steps / (growth + decay_steps);
  return alpha < 1 ? 1 : static_cast<uint32_t>(alpha);
}

// z(alpha) = Phi^-1(1 - alpha/2) in 1/65536, alpha in [1, 65536] (1/65536): sixteen table steps an
// octave, linear in between.
HATCHERY_HD inline uint32_t ZScore(uint32_t alpha) {
  if (alpha >= 65536) return 0;
  const uint32_t octave = HighBit(alpha);
  const uint32_t fraction = ((alpha << 12) >> octave) - 4096;
  const uint32_t index = octave * 16 + (fraction >> 8);
  const uint32_t high = ZTable(index);
  return high - (((high - ZTable(index + 1)) * (fraction & 0xFF)) >> 8);
}

// Variance of one noise value (elementwise) or one entry of A B^T (matrix).
HATCHERY_HD constexpr uint64_t ElementVariance(Noise noise) {
  return noise == Noise::kRademacher ? 1 : kNormalMeanSquare;
}
HATCHERY_HD constexpr uint64_t MatrixVariance(Noise noise, uint32_t rank) {
  return rank * ElementVariance(noise) * ElementVariance(noise);
}

// T = ceil(z sqrt(variance * sum_squares)), z in 1/65536; variance * sum_squares < 2^57 (2^23 pairs
// of Gaussian rank 8 and fitness 127 reach 2^56).
HATCHERY_HD constexpr uint64_t Threshold(uint32_t z, uint64_t variance, uint64_t sum_squares) {
  const Word128 square = Multiply(uint64_t{z} * z, variance * sum_squares);
  const uint64_t floor = square.high << 32 | square.low >> 32;
  const uint64_t ceiling = floor + ((square.low & 0xFFFFFFFFu) != 0);
  const uint64_t root = SquareRoot(ceiling);
  return root + (root * root < ceiling);
}

// The weight after a step in which its noise sum was `z_sum`.
HATCHERY_HD constexpr int32_t UpdatedWeight(int32_t weight, int64_t z_sum, uint64_t threshold) {
  const uint64_t magnitude = static_cast<uint64_t>(z_sum < 0 ? -z_sum : z_sum);
  if (z_sum == 0 || magnitude < threshold) return weight;
  return ClipWeight(weight + (z_sum < 0 ? -1 : 1));
}

}  // namespace hatchery::core

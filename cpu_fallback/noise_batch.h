// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The perturbations of a few pairs at one step, drawn once and read at every token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/model.h"

namespace hatchery {

// Bytes that a noise row of `elements` takes here: its blocks, 16 bytes each.
inline size_t NoiseRowBytes(core::Noise noise, uint32_t elements) {
  return size_t{core::BlocksPerRow(noise, elements)} * 16;
}

// Draws one row of noise into `out` (NoiseRowBytes). Rademacher: bits, element e at bit e, clear
// past `elements`. Gaussian: int8 values, zero past `elements`. `block` is the row's first block.
void DrawNoiseRow(const JobSpec& spec, uint32_t noise_step, uint32_t pair, uint32_t tensor,
                  core::Factor factor, uint32_t rank, uint32_t block, uint32_t elements,
                  uint8_t* out);

class NoiseBatch {
 public:
  NoiseBatch(const Model& model, const JobSpec& spec);

  // Draws pairs [first, first + pairs) at `step`; `weights` are the replica's, for the perturbed
  // gains and biases.
  void Draw(uint32_t step, uint32_t first, uint32_t pairs, std::span<const int8_t> weights);

  // Row of a matrix factor for pair `i` of the batch.
  const uint8_t* Row(uint32_t i, uint32_t tensor, core::Factor factor, uint32_t rank) const;
  // Set bits of the Rademacher B row.
  int32_t Negatives(uint32_t i, uint32_t tensor, uint32_t rank) const;

  // The perturbed gain or bias of member `m` of the batch (2i: +, 2i + 1: -), Padded(columns).
  const int8_t* Vector(uint32_t m, uint32_t tensor) const;

  // The perturbed embedding rows of `token` for both members of pair `i`, Padded(hidden) each.
  void Embedding(uint32_t i, uint32_t token, std::span<const int8_t> weights, int8_t* plus,
                 int8_t* minus) const;

 private:
  void Perturb(const uint8_t* noise_row, const int8_t* weights, uint32_t n, int8_t* plus,
               int8_t* minus) const;

  const Model& model_;
  const JobSpec& spec_;
  // Places within one pair's rows, by tensor; matrices only.
  std::vector<size_t> row_offset_, count_offset_, vector_offset_;
  size_t pair_bytes_ = 0, pair_counts_ = 0, member_bytes_ = 0;

  uint32_t first_ = 0, noise_step_ = 0;
  std::vector<uint8_t> rows_;
  std::vector<int32_t> negatives_;
  std::vector<int8_t> vectors_;
};

}  // namespace hatchery

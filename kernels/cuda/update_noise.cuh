// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Rademacher noise and fitness of four neighbouring pairs, one in each byte of a register, so that
// a register is what int8 products take of one element.
#pragma once

#include "kernels/core/noise.h"
#include "kernels/cuda/packed.cuh"
#include "kernels/cuda/update.h"

namespace hatchery::cuda {

// Elements that one draw of noise gives, and so the width of the tiles of Z.
inline constexpr uint32_t kDrawn = core::ElementsPerBlock(core::Noise::kRademacher);
inline constexpr uint32_t kDrawnBytes = kDrawn / 8;

// Fitness of pairs pair .. pair + 3, `pair` being a multiple of 4; 0 beyond the last.
__device__ inline uint32_t FourFitness(const UpdateStep& step, uint32_t pair) {
  if (pair + 4 <= step.pairs) return *reinterpret_cast<const uint32_t*>(step.fitness + pair);
  uint32_t four = 0;
#pragma unroll 1
  for (uint32_t i = 0; pair + i < step.pairs; ++i)
    four |= uint32_t{static_cast<uint8_t>(step.fitness[pair + i])} << 8 * i;
  return four;
}

// Word j: bytes j of a, b, c and d.
__device__ inline void TransposeBytes(uint32_t a, uint32_t b, uint32_t c, uint32_t d,
                                      uint32_t* words) {
  const uint32_t ab01 = Permute<0x5140>(a, b), ab23 = Permute<0x7362>(a, b);
  const uint32_t cd01 = Permute<0x5140>(c, d), cd23 = Permute<0x7362>(c, d);
  words[0] = Permute<0x5410>(ab01, cd01), words[1] = Permute<0x7632>(ab01, cd01);
  words[2] = Permute<0x5410>(ab23, cd23), words[3] = Permute<0x7632>(ab23, cd23);
}

// kDrawn noise bits of each of pairs pair .. pair + 3: word k holds byte k of all four.
__device__ inline void DrawFour(const ModelView& model, uint32_t noise_step, uint32_t pair,
                                uint32_t tensor, core::Factor factor, uint32_t rank, uint32_t block,
                                uint32_t (&words)[kDrawnBytes]) {
  core::Word4 of[4];
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i)
    of[i] = core::NoiseBlock(model.seed, noise_step, pair + i, tensor, factor, rank, block);
  TransposeBytes(of[0].w0, of[1].w0, of[2].w0, of[3].w0, words);
  TransposeBytes(of[0].w1, of[1].w1, of[2].w1, of[3].w1, words + 4);
  TransposeBytes(of[0].w2, of[1].w2, of[2].w2, of[3].w2, words + 8);
  TransposeBytes(of[0].w3, of[1].w3, of[2].w3, of[3].w3, words + 12);
}

}  // namespace hatchery::cuda

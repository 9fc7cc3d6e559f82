// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Noise of evaluate_hopper.cu: drawn once a tile of members into device memory, one word for each
// thread that uses it (layout.h), and its effect on products. Perturbing W by sigma s A B^T adds
// (sigma s B . x) A to W x: a dot product a member and one multiply-add an output.
#pragma once

#include "kernels/core/noise.h"
#include "kernels/cuda/evaluate.h"
#include "kernels/cuda/hopper_shared.cuh"
#include "kernels/cuda/packed.cuh"

namespace hatchery::cuda {

__host__ __device__ inline uint32_t UnitsOf(uint32_t layers) {
  return layers * kLayerUnits + kHeadUnits;
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Tensor, factor and block of a noise unit.
struct UnitName {
  uint32_t tensor;
  core::Factor factor;
  uint32_t block;
};
__device__ inline UnitName NameOfUnit(uint32_t unit, uint32_t layers) {
  using core::Factor;
  const uint32_t layer = unit / kLayerUnits, u = unit % kLayerUnits;
  if (layer == layers) {
    if (u < kUnitHeadA) return {NormOutTensor(layers), Factor::kA, u};
    return {HeadTensor(layers), u < kUnitHeadB ? Factor::kA : Factor::kB, u % 2};
  }
  auto in = [&](LayerPlace place, Factor factor, uint32_t block) {
    return UnitName{LayerTensor(layer, place), factor, block};
  };
  if (u < kUnitWfA) return in(kNorm1, Factor::kA, u);
  if (u < kUnitUfA) return in(kWf, u < kUnitWfB ? Factor::kA : Factor::kB, u % 2);
  if (u < kUnitBf) return in(kUf, u < kUnitUfB ? Factor::kA : Factor::kB, u % 2);
  if (u < kUnitWhA) return in(kBf, Factor::kA, u % 2);
  if (u < kUnitUhA) return in(kWh, u < kUnitWhB ? Factor::kA : Factor::kB, u % 2);
  if (u < kUnitBh) return in(kUh, u < kUnitUhB ? Factor::kA : Factor::kB, u % 2);
  if (u < kUnitNorm2) return in(kBh, Factor::kA, u % 2);
  if (u < kUnitW1A) return in(kNorm2, Factor::kA, u % 2);
  if (u < kUnitW1B) return in(kW1, Factor::kA, u - kUnitW1A);
  if (u < kUnitW2A) return in(kW1, Factor::kB, u % 2);
  if (u < kUnitW2B) return in(kW2, Factor::kA, u % 2);
  return in(kW2, Factor::kB, u - kUnitW2B);
}

// A block's bits of the 32 columns that thread q of four holds: bit 8 j + 2 g + b is that of column
// 32 g + 8 j + 2 q + b.
__device__ inline uint32_t WordOf(core::Word4 block, uint32_t q) {
  const auto part = [&](uint32_t word) { return word >> 2 * q & 0x03030303u; };
  return part(block.w0) | part(block.w1) << 2 | part(block.w2) << 4 | part(block.w3) << 6;
}

// Draws the noise of the block's pairs, all units but the embedding's.
__device__ inline void DrawNoise(const ModelView& model, uint32_t noise_step, uint32_t first_pair,
                                 uint32_t thread, uint4* noise) {
  for (uint32_t i = thread; i < UnitsOf(model.layers) * kPairs; i += kGroups * kGroupThreads) {
    const UnitName name = NameOfUnit(i / kPairs, model.layers);
    const core::Word4 bits = core::NoiseBlock(model.seed, noise_step, first_pair + i % kPairs,
                                              name.tensor, name.factor, 0, name.block);
    noise[i] = {WordOf(bits, 0), WordOf(bits, 1), WordOf(bits, 2), WordOf(bits, 3)};
  }
}

// Register i's four bits of a word, at the top of their bytes.
__device__ inline uint32_t BitsAt(uint32_t word, uint32_t i) { return word << (7 - i); }

// B . x of both members of a pair. While a thread adds its columns up, in 64ths; then the sum of
// the four threads that share the rows, times sigma and the members' signs.
struct Dots {
  int32_t of[2] = {0, 0};
  bool wide = false;  // somewhere in the warp one does not fit in 16 bits

  // Adds four columns; `upper_bits` is 0x80808080, from a register (an immediate costs an
  // instruction more).
  __device__ void Add(uint32_t word, uint32_t i, uint32_t x0, uint32_t x1, uint32_t upper_bits) {
    const uint32_t signs = (BitsAt(word, i) & upper_bits) ^ 0x40404040u;  // 64 or -64
    of[0] = Dot(x0, signs, of[0]);
    of[1] = Dot(x1, signs, of[1]);
  }
  __device__ void Finish(int32_t sigma) {
#pragma unroll
    for (uint32_t row = 0; row < 2; ++row) {
      of[row] += __shfl_xor_sync(0xFFFFFFFFu, of[row], 1);
      of[row] += __shfl_xor_sync(0xFFFFFFFFu, of[row], 2);
      of[row] = (of[row] >> 6) * (row == 0 ? sigma : -sigma);
    }
    wide = __any_sync(0xFFFFFFFFu,
                      of[0] != static_cast<int16_t>(of[0]) || of[1] != static_cast<int16_t>(of[1]));
  }
};

// The four sums of register i (column 32 g + 8 j + 2 q + b is acc[4 (4 g + j) + 2 row + b], i = 2 g
// + b), with their perturbation as far as the lower 16 bits of `dot` go.
__device__ inline void Perturbed4(const int32_t (&acc)[64], uint32_t i, uint32_t row,
                                  uint32_t signs, int32_t dot, int32_t (&v)[4]) {
  const uint32_t low = static_cast<uint32_t>(dot) & 0xFFFFu, high = static_cast<uint32_t>(dot)
                                                                    << 16;
  const uint32_t first = 16 * (i / 2) + 2 * row + i % 2;
  v[0] = DotLow(low, signs, acc[first]);
  v[1] = DotLow(high, signs, acc[first + 4]);
  v[2] = DotHigh(low, signs, acc[first + 8]);
  v[3] = DotHigh(high, signs, acc[first + 12]);
}

// The rest of it, where there is any.
__device__ inline void AddWide(int32_t (&acc)[64], uint32_t word, const Dots& dots) {
  if (__builtin_expect(!dots.wide, 1)) return;
  const int32_t rest[2] = {dots.of[0] - static_cast<int16_t>(dots.of[0]),
                           dots.of[1] - static_cast<int16_t>(dots.of[1])};
#pragma unroll
  for (uint32_t i = 0; i < 8; ++i) {
    const uint32_t signs = UpperBitSigns(BitsAt(word, i));
#pragma unroll
    for (uint32_t j = 0; j < 4; ++j) {
      const int32_t sign = static_cast<int8_t>(signs >> 8 * j);
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row)
        acc[16 * (i / 2) + 4 * j + 2 * row + i % 2] += rest[row] * sign;
    }
  }
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace hatchery::cuda

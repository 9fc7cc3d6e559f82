// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The embedding and the norms of evaluate_hopper.cu.
#pragma once

#include "kernels/cuda/hopper_worker.cuh"

namespace hatchery::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <bool kPerturbed>
__device__ inline void Worker<kPerturbed>::Embed(const uint32_t (&tokens)[2], uint32_t pair,
                                                 uint32_t noise_step,
                                                 int32_t (&magnitudes)[2]) const {
  magnitudes[0] = magnitudes[1] = 0;
#pragma unroll 1
  for (uint32_t half = 0; half < 2; ++half) {
    Half x[2];
    const Elements e = LoadElements(memory.embedding + tokens[0] * kVectorBytes, half);
    if (kPerturbed) {
      const uint32_t word = WordOf(core::NoiseBlock(model.seed, noise_step, pair, 0,
                                                    core::Factor::kA, 0, 2 * tokens[0] + half),
                                   q);
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        uint32_t v[2];
        Perturb(e, word, i, v);
        x[0].r[i] = v[0], x[1].r[i] = v[1];
      }
    } else {
      x[0] = e.plus;
      x[1] = LoadElements(memory.embedding + tokens[1] * kVectorBytes, half).plus;
    }
#pragma unroll
    for (uint32_t row = 0; row < 2; ++row) {
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i)
        magnitudes[row] = AddMagnitudes(x[row].r[i], magnitudes[row]);
      tiles.Store(kResidualTile, half, row, x[row]);
    }
  }
}

template <bool kPerturbed>
__device__ inline NormInputs Worker<kPerturbed>::LoadNorm(uint32_t layer, LayerVector which) const {
  static_assert(uint32_t{kUnitNormOut} == kUnitNorm1 && uint32_t{kUnitHeadB} == kUnitWfB);
  const uint32_t units = layer * kLayerUnits;
  const uint32_t gain = which == kVectorNorm1 ? kUnitNorm1 : kUnitNorm2;
  const uint32_t b0 = which == kVectorNorm1 ? kUnitWfB : kUnitW1B;
  const uint32_t b1 = which == kVectorNorm1 && layer < model.layers ? uint32_t{kUnitWhB} : b0;
  NormInputs inputs;
#pragma unroll
  for (uint32_t half = 0; half < 2; ++half) {
    inputs.bits[half] = LoadUnit(units + gain + half);
    inputs.b[0][half] = LoadUnit(units + b0 + half);
    inputs.b[1][half] = LoadUnit(units + b1 + half);
    inputs.gains[half] = LoadElements(Vector(layer, which), half);
  }
  return inputs;
}

template <bool kPerturbed>
template <uint32_t kMatrices, bool kKeep>
__device__ inline void Worker<kPerturbed>::Norm(const NormInputs& inputs,
                                                const int32_t (&magnitudes)[2],
                                                Dots (&dots)[kMatrices]) const {
  int32_t reciprocal[2];
#pragma unroll
  for (uint32_t row = 0; row < 2; ++row) {
    int32_t sum = magnitudes[row];
    sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
    sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
    reciprocal[row] = ReciprocalOf(core::NormDivisor(sum, kHopperHidden));
  }
  NamedBarrier(1 + group, kGroupThreads);  // products that read the tile are over
#pragma unroll
  for (uint32_t half = 0; half < 2; ++half) {
    Half x[2];
#pragma unroll
    for (uint32_t row = 0; row < 2; ++row) {
      x[row] = tiles.Load(kResidualTile, half, row);
      if (kKeep) StoreRows(OwnRows(kResidual), half, row, x[row]);
    }
#pragma unroll
    for (uint32_t i = 0; i < 8; ++i) {
      uint32_t gain[2];
      Perturb(inputs.gains[half], inputs.bits[half], i, gain);
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row)
        x[row].r[i] = Norm4(Offset4(x[row].r[i]), gain[row], reciprocal[row]);
#pragma unroll
      for (uint32_t m = 0; m < kMatrices; ++m)
        AddDots(inputs.b[m][half], i, x[0].r[i], x[1].r[i], dots[m]);
    }
    tiles.Store(kXTile, half, 0, x[0]);
    tiles.Store(kXTile, half, 1, x[1]);
  }
#pragma unroll
  for (uint32_t m = 0; m < kMatrices; ++m) FinishDots(dots[m]);
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace hatchery::cuda

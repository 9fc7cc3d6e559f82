// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The MLP of evaluate_hopper.cu. The 1,024 hidden values pass through two half tiles, 128 at a
// time; W1's next product is started before W2's, so that W2's runs under the arithmetic that
// follows W1's.
#pragma once

#include "kernels/cuda/hopper_worker.cuh"

namespace hatchery::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <bool kPerturbed>
__device__ inline void Worker<kPerturbed>::Mlp(uint32_t layer, const Dots& dots_x,
                                               int32_t (&magnitudes)[2], bool zero_state,
                                               NormInputs& next_inputs, State& next_state) {
  const uint32_t units = layer * kLayerUnits;
  int32_t out0[64], out1[64], acc[64];
  Dots dots;
  uint32_t a = LoadUnit(units + kUnitW1A), b = LoadUnit(units + kUnitW2B);
  Multiply(acc, kXTile, PlaceOfW1(0));
  WgmmaCommit();
  WgmmaWait<0>();
  stages.Return(PlaceOfW1(0));
#pragma unroll 1
  for (uint32_t chunk = 0; chunk < kMlpChunks - 1; ++chunk) {
    Hidden(acc, chunk, a, b, dots_x, dots);
    a = LoadUnit(units + kUnitW1A + chunk + 1), b = LoadUnit(units + kUnitW2B + chunk + 1);
    Multiply(acc, kXTile, PlaceOfW1(chunk + 1));
    WgmmaCommit();
    MultiplyHidden(out0, out1, chunk);
    WgmmaWait<1>();  // W2's goes on
    stages.Return(PlaceOfW1(chunk + 1));
    if (chunk != 0) stages.Return(PlaceOfW2(chunk - 1));
  }
  Hidden(acc, kMlpChunks - 1, a, b, dots_x, dots);
  MultiplyHidden(out0, out1, kMlpChunks - 1);
  const uint32_t a0 = LoadUnit(units + kUnitW2A), a1 = LoadUnit(units + kUnitW2A + 1);
  FinishDots(dots);
  WgmmaWait<0>();
  stages.Return(PlaceOfW2(kMlpChunks - 2));
  stages.Return(PlaceOfW2(kMlpChunks - 1));
  magnitudes[0] = magnitudes[1] = 0;
  AddMlp(out0, 0, a0, dots, magnitudes);
  next_inputs = LoadNorm(layer + 1, kVectorNorm1);
  next_state = LoadState(min(layer + 1, model.layers - 1), zero_state);
  AddMlp(out1, 1, a1, dots, magnitudes);
}

template <bool kPerturbed>
__device__ inline void Worker<kPerturbed>::Hidden(int32_t (&acc)[64], uint32_t chunk, uint32_t a,
                                                  uint32_t b, const Dots& dots_x,
                                                  Dots& dots) const {
  Complete(acc, a, dots_x);
  Half v[2];
#pragma unroll
  for (uint32_t i = 0; i < 8; ++i) {
    const uint32_t signs = SignsAt(a, i);
#pragma unroll
    for (uint32_t row = 0; row < 2; ++row) {
      int32_t sums[4];
      Sums4(acc, i, row, signs, dots_x, sums);
      v[row].r[i] = UpperBytes(Pack16(sums[1], sums[0]), Pack16(sums[3], sums[2]));
    }
    AddDots(b, i, v[0].r[i], v[1].r[i], dots);
  }
  tiles.Store(kGatedTile, chunk & 1, 0, v[0]);
  tiles.Store(kGatedTile, chunk & 1, 1, v[1]);
  PublishTiles();
}

template <bool kPerturbed>
__device__ inline void Worker<kPerturbed>::AddMlp(int32_t (&acc)[64], uint32_t half, uint32_t a,
                                                  const Dots& dots,
                                                  int32_t (&magnitudes)[2]) const {
  Complete(acc, a, dots);
#pragma unroll
  for (uint32_t row = 0; row < 2; ++row) {
    Half x = tiles.Load(kResidualTile, half, row);
#pragma unroll
    for (uint32_t i = 0; i < 8; ++i) {
      int32_t v[4];
      Sums4(acc, i, row, SignsAt(a, i), dots, v);
#pragma unroll
      for (uint32_t j = 0; j < 4; ++j) v[j] >>= 1;  // W2 divides by 512
      x.r[i] = Residual(UpperBytes16(Pack16(v[1], v[0])), UpperBytes16(Pack16(v[3], v[2])), x.r[i],
                        magnitudes[row]);
    }
    tiles.Store(kResidualTile, half, row, x);
  }
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace hatchery::cuda

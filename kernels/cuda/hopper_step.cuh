// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// One token of one consumer thread of evaluate_hopper.cu: the model's steps, in order. What comes
// from device memory is loaded a step before it is used, for that takes 400 to 800 clocks.
#pragma once

#include "kernels/cuda/hopper_cell.cuh"
#include "kernels/cuda/hopper_head.cuh"
#include "kernels/cuda/hopper_mlp.cuh"
#include "kernels/cuda/hopper_norm.cuh"

namespace hatchery::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <bool kPerturbed>
__device__ inline Logits Worker<kPerturbed>::Step(const uint32_t (&tokens)[2],
                                                  const uint32_t (&targets)[2], bool first,
                                                  uint32_t pair, uint32_t noise_step) {
  int32_t magnitudes[2];
  NormInputs inputs = LoadNorm(0, kVectorNorm1);
  State state = LoadState(0, first);
  Embed(tokens, pair, noise_step, magnitudes);
#pragma unroll 1
  for (uint32_t layer = 0; layer < model.layers; ++layer) {
    Dots dots[2], dots_h, dots_g, dots_y[1];
    Norm<2, true>(inputs, magnitudes, dots);
    PlaceState(state, dots_h);
    PublishTiles();
    Forget(layer, dots[0], dots_h, dots_g);
    PublishTiles();
    Advance(layer, dots[1], dots_g, magnitudes);
    inputs = LoadNorm(layer, kVectorNorm2);
    Norm<1, false>(inputs, magnitudes, dots_y);
    PublishTiles();
    Mlp(layer, dots_y[0], magnitudes, first, inputs, state);
  }
  Dots dots[1];
  Norm<1, false>(inputs, magnitudes, dots);
  PublishTiles();
  return Head(dots[0], targets);
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace hatchery::cuda

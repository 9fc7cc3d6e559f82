// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The head of evaluate_hopper.cu, and what the scorer needs of its logits.
#pragma once

#include "kernels/cuda/hopper_worker.cuh"

namespace hatchery::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <bool kPerturbed>
__device__ inline Logits Worker<kPerturbed>::Head(const Dots& dots_x,
                                                  const uint32_t (&targets)[2]) {
  const uint32_t units = model.layers * kLayerUnits;
  Logits out{};
  uint32_t best[2] = {0, 0};  // (logit + 128) * 256 + 255 - column
#pragma unroll 1
  for (uint32_t half = 0; half < 2; ++half) {
    const uint32_t a = LoadUnit(units + kUnitHeadA + half);
    int32_t acc[64];
    Multiply(acc, kXTile, half);
    WgmmaCommit();
    WgmmaWait<0>();
    stages.Return(half);
    Complete(acc, a, dots_x);
#pragma unroll
    for (uint32_t row = 0; row < 2; ++row) {
      const uint32_t column = targets[row] & 127;
      const bool mine = targets[row] >> 7 == half && (column >> 1 & 3) == q;
      const uint32_t place = 2 * (column >> 5) + (column & 1);
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        int32_t v[4];
        Sums4(acc, i, row, SignsAt(a, i), dots_x, v);
        const uint32_t logits = Offset4(UpperBytes(Pack16(v[1], v[0]), Pack16(v[3], v[2])));
#pragma unroll
        for (uint32_t j = 0; j < 4; ++j) {
          const uint32_t logit = logits >> 8 * j & 0xFF;
          out.terms[row] += exp2[logit];
          if (!kPerturbed)
            best[row] =
                max(best[row],
                    logit << 8 | (255 - (half * 128 + 32 * (i / 2) + 8 * j + 2 * q + i % 2)));
        }
        if (mine && place == i)
          out.target[row] = static_cast<int32_t>(logits >> 8 * (column >> 3 & 3) & 0xFF);
      }
    }
  }
  stages.FinishToken();
#pragma unroll
  for (uint32_t row = 0; row < 2; ++row) {
#pragma unroll
    for (uint32_t lane = 1; lane <= 2; lane *= 2) {
      out.terms[row] += __shfl_xor_sync(0xFFFFFFFFu, out.terms[row], lane);
      out.target[row] += __shfl_xor_sync(0xFFFFFFFFu, out.target[row], lane);
      best[row] = max(best[row], __shfl_xor_sync(0xFFFFFFFFu, best[row], lane));
    }
    out.target[row] -= 128;
    out.first[row] = 255 - (best[row] & 0xFF);
  }
  return out;
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace hatchery::cuda

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// From the sums Z of tiles to new weights.
#pragma once

#include <cuda_runtime.h>

#include "kernels/core/update.h"
#include "kernels/cuda/update.h"
#include "kernels/cuda/update_noise.cuh"

namespace hatchery::cuda {

// Moves every gridDim.y-th row of the weights of tile blockIdx.x, kHeight rows of kDrawn
// elements, by their sums.
template <uint32_t kHeight>
__global__ void MoveWeights(ModelView model, uint64_t threshold, const UpdateTile* tiles,
                            const int32_t* sums, int8_t* updated) {
  const UpdateTile tile = tiles[blockIdx.x];
  const uint32_t column = tile.column + threadIdx.x;
  if (column >= tile.columns) return;
  for (uint32_t r = blockIdx.y; r < kHeight && tile.row + r < tile.rows; r += gridDim.y) {
    const uint64_t at = tile.offset + uint64_t{tile.row + r} * tile.columns + column;
    const int32_t z = sums[(size_t{blockIdx.x} * kHeight + r) * kDrawn + threadIdx.x];
    updated[at] = static_cast<int8_t>(core::UpdatedWeight(model.weights[at], z, threshold));
  }
}

template <uint32_t kHeight>
cudaError_t Move(const ModelView& model, uint64_t threshold, const UpdateTile* tiles,
                 uint32_t count, const int32_t* sums, int8_t* updated) {
  constexpr uint32_t kRowsEach = 8;
  const dim3 grid(count, (kHeight + kRowsEach - 1) / kRowsEach);
  MoveWeights<kHeight><<<grid, kDrawn>>>(model, threshold, tiles, sums, updated);
  return cudaGetLastError();
}

}  // namespace hatchery::cuda

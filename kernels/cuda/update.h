// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Update and digest on the device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/evaluate.h"

namespace hatchery::cuda {

// A part of a tensor that one block updates, cut off at the tensor's edges: for UpdateMatrices
// kMatrixTile x kMatrixTile elements, for UpdateElements kElementTile elements of a row.
inline constexpr uint32_t kMatrixTile = 64;
inline constexpr uint32_t kElementTile = 16;
struct UpdateTile {
  uint64_t offset;  // of the tensor
  uint32_t tensor;
  uint32_t rows, columns;
  uint32_t row, column;  // first
};

// The fitness of a step, one value a pair, and its thresholds.
struct UpdateStep {
  const int8_t* fitness;
  uint32_t pairs;
  uint32_t noise_step;
  uint64_t matrix_threshold;
  uint64_t element_threshold;
};

// Writes the new weights of the tiles into `updated`, laid out as the replica; see update.cu.
cudaError_t UpdateMatrices(const ModelView& model, const UpdateStep& step, const UpdateTile* tiles,
                           uint32_t count, int8_t* updated);
cudaError_t UpdateElements(const ModelView& model, const UpdateStep& step, const UpdateTile* tiles,
                           uint32_t count, int8_t* updated);

// The same for Rademacher noise on the tensor cores; see update_rademacher.cu. Tiles are kFastTile
// square (kFastTile elements of a row); `sums` holds an int32 for each of their elements.
inline constexpr uint32_t kFastTile = 128;
bool FastUpdateFits(const ModelView& model, uint32_t pairs, uint32_t largest_fitness);
cudaError_t FastUpdateMatrices(const ModelView& model, const UpdateStep& step,
                               const UpdateTile* tiles, uint32_t count, int32_t* sums,
                               int8_t* updated);
cudaError_t FastUpdateElements(const ModelView& model, const UpdateStep& step,
                               const UpdateTile* tiles, uint32_t count, int32_t* sums,
                               int8_t* updated);

// Adds the digest of words [first, first + count) of the replica to lanes[0] and lanes[1].
cudaError_t AddDigest(const int8_t* weights, uint64_t first, uint64_t count,
                      unsigned long long* lanes);

}  // namespace hatchery::cuda

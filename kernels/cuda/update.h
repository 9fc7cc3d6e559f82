// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Update and digest on the device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/evaluate.h"

namespace hatchery::cuda {

// A part of a tensor, cut off at the tensor's edges.
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

// A way to update matrices, or vectors and embeddings. `launch` writes the new weights of `count`
// tiles of height x width elements into `updated`, laid out as the replica; one that keeps sums works
// in `sums`, an int32 for each element of each tile.
struct UpdateMethod {
  uint32_t height, width;
  bool keeps_sums;
  cudaError_t (*launch)(const ModelView& model, const UpdateStep& step, const UpdateTile* tiles,
                        uint32_t count, int32_t* sums, int8_t* updated);
};
// Any noise, any device: update.cu.
extern const UpdateMethod kReferenceMatrices, kReferenceElements;
// Where FastUpdateFits: from Ampere on (update_rademacher.cu), and on Hopper (update_hopper.cu).
extern const UpdateMethod kRademacherMatrices, kRademacherElements;
extern const UpdateMethod kHopperMatrices;

// Whether noise is Rademacher's and sums fit an int32.
bool FastUpdateFits(const ModelView& model, uint32_t pairs, uint32_t largest_fitness);

// Adds the digest of words [first, first + count) of the replica to lanes[0] and lanes[1].
cudaError_t AddDigest(const int8_t* weights, uint64_t first, uint64_t count,
                      unsigned long long* lanes);

}  // namespace hatchery::cuda

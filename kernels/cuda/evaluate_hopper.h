// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/evaluate.h"

namespace hatchery::cuda {

// Sequences that one block carries at a time, and blocks a multiprocessor.
inline constexpr uint32_t kHopperMembers = 128;

// Device memory that the fast evaluation works in, sized by HopperSizes.
struct HopperMemory {
  int8_t* stages;     // weights, see layout.h
  int8_t* vectors;    // gains and biases
  int8_t* embedding;  // 256 rows
  uint4* noise;       // of the members that the blocks work on
  uint4* states;      // their recurrent states
  uint4* scratch;     // their residuals and gates
};
struct HopperSizes {  // in elements
  size_t stages, vectors, embedding, noise, states, scratch;
};
HopperSizes SizesFor(uint32_t layers, uint32_t blocks);

// Whether a device of this capability runs the code for sm_90a, which alone has Hopper's warpgroup
// products; on others kernels that need them are empty.
inline bool RunsSm90a(int major, int minor) { return major == 9 && minor == 0; }

// Whether the fast evaluation computes this model's members on a device of this capability.
bool HopperFits(const ModelView& model, int major, int minor);

// Lays the model's weights out for HopperEvaluate.
cudaError_t HopperPack(const ModelView& model, const HopperMemory& memory);

// As EvaluateReference, without `logits`.
cudaError_t HopperEvaluate(const ModelView& model, const Sequences& sequences, uint32_t blocks,
                           const HopperMemory& memory);

}  // namespace hatchery::cuda

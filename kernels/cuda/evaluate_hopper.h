// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/evaluate.h"

namespace hatchery::cuda {

// Sequences that one block carries at a time; a multiprocessor takes one block.
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

// Whether the current device runs this program's code for sm_90a, which alone has Hopper's
// warpgroup products; elsewhere the kernels that need them only trap. It asks the device: a
// capability of 9.0 does not tell whether that code was compiled in, nor whether the driver was
// told to take PTX.
cudaError_t RunsSm90a(bool& runs);

// Whether the fast evaluation computes this model's members, on a device that runs code for sm_90a.
bool HopperFits(const ModelView& model);

// Lays the model's weights out for HopperEvaluate.
cudaError_t HopperPack(const ModelView& model, const HopperMemory& memory);

// As EvaluateReference, without `logits`.
cudaError_t HopperEvaluate(const ModelView& model, const Sequences& sequences, uint32_t blocks,
                           const HopperMemory& memory);

}  // namespace hatchery::cuda

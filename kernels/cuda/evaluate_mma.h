// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/evaluate.h"

namespace hatchery::cuda {

// How a model runs on a device.
struct MmaPlan {
  uint32_t sequences = 0;       // that a block carries at a time; 0: the model does not fit
  uint32_t threads = 0;         // of a block
  uint32_t shared_bytes = 0;    // of a block
  uint32_t blocks_at_once = 0;  // that a multiprocessor takes
};

// Device memory that the evaluation works in, sized by MmaSizesFor.
struct MmaMemory {
  int8_t* weights;  // the matrices, as the tensor cores read them
  // Of the sequences that the blocks work on:
  uint32_t* noise;  // factors A and B of every matrix
  int8_t* vectors;  // gains and biases, perturbed
  int8_t* states;   // recurrent
};
struct MmaSizes {  // in elements
  size_t weights, noise, vectors, states;
};

// The plan for a model on the current device. It fits if the hidden size is a multiple of 32 and
// the activations of 16 sequences fit in a multiprocessor's shared memory; any layers, rank and
// noise.
cudaError_t PlanMma(const ModelView& model, MmaPlan& plan);
MmaSizes MmaSizesFor(const ModelView& model, const MmaPlan& plan, uint32_t blocks);

// Lays the model's matrices out for MmaEvaluate.
cudaError_t MmaPack(const ModelView& model, const MmaMemory& memory);

// As EvaluateReference, without `logits`.
cudaError_t MmaEvaluate(const ModelView& model, const Sequences& sequences, const MmaPlan& plan,
                        uint32_t blocks, const MmaMemory& memory);

}  // namespace hatchery::cuda

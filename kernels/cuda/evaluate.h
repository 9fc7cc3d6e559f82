// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What the evaluation kernels read and write; plain values, passed to kernels by copy.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/core/noise.h"

namespace hatchery::cuda {

// The model and its noise. Pointers are to device memory.
struct ModelView {
  const int8_t* weights;    // the replica
  const uint64_t* offsets;  // of every tensor, in contract order
  uint32_t hidden;
  uint32_t layers;
  uint64_t seed;
  core::Noise noise;
  uint32_t rank;
  uint32_t sigma_shift;
};

// Places of the tensors of a layer within the contract's order; layer l starts at 1 + 10 l.
enum LayerPlace : uint32_t { kNorm1, kWf, kUf, kBf, kWh, kUh, kBh, kNorm2, kW1, kW2, kPlaces };
__host__ __device__ inline uint32_t LayerTensor(uint32_t layer, LayerPlace place) {
  return 1 + kPlaces * layer + place;
}
__host__ __device__ inline uint32_t NormOutTensor(uint32_t layers) { return 1 + kPlaces * layers; }
__host__ __device__ inline uint32_t HeadTensor(uint32_t layers) { return 2 + kPlaces * layers; }

// Sums over the scored tokens of one sequence.
struct SequenceSums {
  long long score;
  long long coarse_score;
  unsigned long long correct;
};

// Sequences of bytes to feed to perturbed members or to the unperturbed model.
struct Sequences {
  uint32_t count;
  const uint8_t* bytes;
  uint32_t unscored;  // tokens at the start whose logits are not scored
  uint32_t tokens;    // all tokens fed; a sequence reads one byte more if any is scored
  // Members 2 * first_pair + i at `step`, reading their group's window; else sequence i is the
  // unperturbed model reading from byte i * stride.
  bool perturbed;
  uint32_t step;
  uint32_t noise_step;
  uint32_t first_pair;
  uint32_t pairs_per_group;
  uint64_t positions;
  uint64_t stride;

  int32_t* scores;     // perturbed: one a sequence
  SequenceSums* sums;  // unperturbed: one a sequence, or null
  int8_t* logits;      // unperturbed: 256 of the last token of sequence 0, or null
};

// Bytes of recurrent state that one block of the reference kernel works in.
inline size_t ReferenceStateBytes(const ModelView& model) {
  return size_t{model.layers} * model.hidden;
}

// Any shape, any noise; see evaluate_reference.cu. `state` has ReferenceStateBytes for each of
// `blocks`. With `keep_state`, sequence 0 continues from what is there.
cudaError_t EvaluateReference(const ModelView& model, const Sequences& sequences, uint32_t blocks,
                              int8_t* state, bool keep_state);

}  // namespace hatchery::cuda

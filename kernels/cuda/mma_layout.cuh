// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// How evaluate_mma.cu lays out weights, noise and perturbed vectors.
#pragma once

#include "kernels/core/egg.h"
#include "kernels/cuda/evaluate.h"

namespace hatchery::cuda::mma {

// Weights come in fragments of 32 outputs by 32 inputs.
inline constexpr uint32_t kChunk = 32;
inline constexpr uint32_t kFragmentBytes = kChunk * kChunk;

// Chunks of inputs and outputs of the matrices, in the order of their noise and weights.
enum Matrix : uint32_t { kMatrixWf, kMatrixUf, kMatrixWh, kMatrixUh, kMatrixW1, kMatrixW2 };
inline constexpr uint32_t kMatrices = 6;  // of a layer
struct MatrixPlace {
  uint32_t tensor;
  uint32_t outputs, inputs;  // in chunks
  uint32_t fragment;         // its first, in weights
  uint32_t noise;            // its first chunk, A of every rank, then B
};
// Matrix `m` of `layer`; the head is matrix 0 of layer `layers`.
__host__ __device__ inline MatrixPlace PlaceOf(const ModelView& model, uint32_t layer, uint32_t m) {
  const uint32_t c = model.hidden / kChunk, wide = core::kMlpExpansion * c;
  const uint32_t fragment = layer * 12 * c * c, noise = layer * 18 * c * model.rank;
  if (layer == model.layers)
    return {HeadTensor(layer), core::kVocabulary / kChunk, c, fragment, noise};
  const uint32_t square = m < kMatrixW1 ? m : static_cast<uint32_t>(kMatrixW1);
  MatrixPlace place{0, c, c, fragment + square * c * c, noise + square * 2 * c * model.rank};
  constexpr LayerPlace kTensors[kMatrices] = {kWf, kUf, kWh, kUh, kW1, kW2};
  place.tensor = LayerTensor(layer, kTensors[m]);
  if (m == kMatrixW1) place.outputs = wide;
  if (m == kMatrixW2) {
    place.inputs = wide;
    place.fragment += wide * c;
    place.noise += (wide + c) * model.rank;
  }
  return place;
}
__host__ __device__ inline uint32_t NoiseChunks(const ModelView& model) {
  const MatrixPlace head = PlaceOf(model, model.layers, 0);
  return head.noise + (head.outputs + head.inputs) * model.rank;
}
__host__ __device__ constexpr uint32_t WordsPerChunk(core::Noise noise) {
  return noise == core::Noise::kRademacher ? 1 : 8;
}

// Perturbed vectors: four a layer, then the gain before the head.
enum Vector : uint32_t { kVectorGain1, kVectorBiasF, kVectorBiasH, kVectorGain2, kLayerVectors };
__host__ __device__ inline uint32_t Vectors(const ModelView& model) {
  return kLayerVectors * model.layers + 1;
}
__device__ inline uint32_t VectorTensor(const ModelView& model, uint32_t vector) {
  const uint32_t layer = vector / kLayerVectors, v = vector % kLayerVectors;
  if (layer == model.layers) return NormOutTensor(layer);
  return LayerTensor(layer, v == kVectorGain1   ? kNorm1
                            : v == kVectorBiasF ? kBf
                            : v == kVectorBiasH ? kBh
                                                : kNorm2);
}

}  // namespace hatchery::cuda::mma

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Lays weights out for evaluate_hopper.cu, as layout.h says.
#include <cuda_runtime.h>

#include "kernels/core/egg.h"
#include "kernels/cuda/evaluate_hopper.h"
#include "kernels/cuda/layout.h"

namespace hatchery::cuda {
namespace {

// Where a plate of a stage begins.
struct PlateName {
  uint32_t tensor, row, column, columns;
};
__device__ PlateName NameOfPlate(uint32_t stage, uint32_t plate, uint32_t layers) {
  const uint32_t layer = stage / kLayerStages, place = stage % kLayerStages;
  constexpr uint32_t kD = kHopperHidden;
  if (layer == layers) return {HeadTensor(layers), place * 128, plate * 128, kD};
  if (place < kGateStages) {
    const bool forget = place < kGateStages / 2, of_state = place % 2 == 1;
    const LayerPlace which = forget ? (of_state ? kUf : kWf) : (of_state ? kUh : kWh);
    return {LayerTensor(layer, which), place / 2 % 2 * 128, plate * 128, kD};
  }
  uint32_t chunk = 0;
  while (PlaceOfW1(chunk) != place && PlaceOfW2(chunk) != place) ++chunk;
  if (PlaceOfW1(chunk) == place) return {LayerTensor(layer, kW1), chunk * 128, plate * 128, kD};
  return {LayerTensor(layer, kW2), plate * 128, chunk * 128, core::kMlpExpansion * kD};
}

__global__ void PackStages(const __grid_constant__ ModelView model, int8_t* stages) {
  const uint32_t stage = blockIdx.x / 2, plate = blockIdx.x % 2;
  const PlateName name = NameOfPlate(stage, plate, model.layers);
  const int8_t* matrix = model.weights + model.offsets[name.tensor];
  int8_t* out = stages + size_t{blockIdx.x} * kPlateBytes;
  for (uint32_t i = threadIdx.x; i < kPlateBytes; i += blockDim.x) {
    const uint32_t n = i / 128, position = i % 128;
    const uint32_t swizzled = n * 128 + ((position / 16) ^ (n % 8)) * 16 + position % 16;
    out[swizzled] =
        matrix[uint64_t{name.row + n} * name.columns + name.column + ColumnAt(position)];
  }
}

// Vector blockIdx.x: layers' vectors and norm_out, then the embedding's rows.
__global__ void PackVectors(const __grid_constant__ ModelView model, int8_t* vectors,
                            int8_t* embedding) {
  constexpr LayerPlace kPlaceOf[kLayerVectors] = {kNorm1, kBf, kBh, kNorm2};
  const uint32_t layer_vectors = model.layers * kLayerVectors;
  const uint32_t v = blockIdx.x;
  const bool embedded = v > layer_vectors;
  const uint32_t row = embedded ? v - layer_vectors - 1 : 0;
  const LayerPlace place = kPlaceOf[v % kLayerVectors];
  const uint32_t tensor = embedded             ? 0
                          : v == layer_vectors ? NormOutTensor(model.layers)
                                               : LayerTensor(v / kLayerVectors, place);
  const bool gain = !embedded && (v == layer_vectors || place == kNorm1 || place == kNorm2);
  const int32_t offset = gain ? 0 : 128;
  int8_t* out = embedded ? embedding + row * kVectorBytes : vectors + v * kVectorBytes;
  const uint32_t column = threadIdx.x / 128 * 128 + ColumnAt(threadIdx.x % 128);
  const int32_t w = model.weights[model.offsets[tensor] + row * kHopperHidden + column];
  const int32_t sigma = 16 >> model.sigma_shift;
  const auto put = [&](VectorVersion version, int32_t value) {
    out[version * kHopperHidden + threadIdx.x] = static_cast<int8_t>(value + offset);
  };
  put(kPlus, core::ClipWeight(w + sigma));
  put(kMinus, core::ClipWeight(w - sigma));
  put(kPlain, w);
}

}  // namespace

cudaError_t HopperPack(const ModelView& model, const HopperMemory& memory) {
  PackStages<<<2 * StagesOf(model.layers), 256>>>(model, memory.stages);
  PackVectors<<<model.layers * kLayerVectors + 1 + core::kVocabulary, kHopperHidden>>>(
      model, memory.vectors, memory.embedding);
  return cudaGetLastError();
}

}  // namespace hatchery::cuda

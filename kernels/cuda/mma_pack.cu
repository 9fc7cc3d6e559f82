// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Lays weights out for evaluate_mma.cu, as mma_layout.cuh says.
#include <cuda_runtime.h>

#include "kernels/cuda/evaluate_mma.h"
#include "kernels/cuda/mma_layout.cuh"

namespace hatchery::cuda {
using namespace mma;
namespace {

__global__ void PackKernel(ModelView model, MmaMemory memory) {
  const MatrixPlace place = PlaceOf(model, blockIdx.x / kMatrices, blockIdx.x % kMatrices);
  const uint32_t words = place.outputs * place.inputs * (kFragmentBytes / 4);
  const int8_t* matrix = model.weights + model.offsets[place.tensor];
  uint32_t* out =
      reinterpret_cast<uint32_t*>(memory.weights + size_t{place.fragment} * kFragmentBytes);
  for (uint32_t i = blockIdx.y * blockDim.x + threadIdx.x; i < words; i += gridDim.y * blockDim.x) {
    // Word w of a lane: half w % 2 of the inputs of output 8 (w / 2) + lane / 4.
    const uint32_t fragment = i / 256, lane = i / 4 % 32, w = i / 128 % 2 * 4 + i % 4;
    const uint32_t row = fragment / place.inputs * kChunk + 8 * (w / 2) + lane / 4;
    const uint32_t column = fragment % place.inputs * kChunk + 16 * (w % 2) + 4 * (lane % 4);
    const int8_t* from = matrix + size_t{row} * place.inputs * kChunk + column;
    uint32_t value = 0;
    for (uint32_t b = 0; b < 4; ++b) value |= uint32_t{static_cast<uint8_t>(from[b])} << 8 * b;
    out[i] = value;
  }
}

}  // namespace

cudaError_t MmaPack(const ModelView& model, const MmaMemory& memory) {
  PackKernel<<<dim3(kMatrices * model.layers + 1, 32), 256>>>(model, memory);
  return cudaGetLastError();
}

}  // namespace hatchery::cuda

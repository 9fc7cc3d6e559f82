// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Z = sum over pairs of f * noise, and the weight's step. Noise is drawn where it is used: each
// block holds a tile of Z in registers and walks over the pairs.
#include <cuda_runtime.h>

#include "kernels/core/digest.h"
#include "kernels/core/update.h"
#include "kernels/cuda/update.h"

namespace hatchery::cuda {
namespace {

constexpr uint32_t kThreads = 256;
constexpr uint32_t kMatrixTile = 64, kElementTile = 16;
constexpr uint32_t kPairsAtOnce = 32;
constexpr uint32_t kOutputs = 4;  // of Z a thread holds, in rows and in columns
// One thread draws kElementTile values of one pair: a Gaussian block, an eighth of a Rademacher.
constexpr uint32_t kDraw = kElementTile;
static_assert(kPairsAtOnce * 2 * kMatrixTile / kDraw == kThreads);
static_assert((kMatrixTile / kOutputs) * (kMatrixTile / kOutputs) == kThreads);

__device__ core::Word4 DrawBlock(const ModelView& model, uint32_t noise_step, uint32_t pair,
                                 uint32_t tensor, core::Factor factor, uint32_t rank,
                                 uint32_t first_block, uint32_t element) {
  return core::NoiseBlock(model.seed, noise_step, pair, tensor, factor, rank,
                          first_block + element / core::ElementsPerBlock(model.noise));
}

__device__ int32_t DrawnValue(const ModelView& model, core::Word4 block, uint32_t element) {
  return core::NoiseValue(model.noise, block, element % core::ElementsPerBlock(model.noise));
}

__global__ void __launch_bounds__(kThreads)
    UpdateMatricesKernel(ModelView model, UpdateStep step, const UpdateTile* tiles,
                         int8_t* updated) {
  __shared__ int16_t a[kPairsAtOnce][kMatrixTile];  // f * A
  __shared__ int16_t b[kPairsAtOnce][kMatrixTile];
  const UpdateTile tile = tiles[blockIdx.x];
  const uint32_t i0 = threadIdx.x / 16, j0 = threadIdx.x % 16;
  const uint32_t drawer = threadIdx.x / kPairsAtOnce, slot = threadIdx.x % kPairsAtOnce;
  const bool draws_a = drawer < kMatrixTile / kDraw;
  const uint32_t drawn = drawer % (kMatrixTile / kDraw) * kDraw;
  const uint32_t element = (draws_a ? tile.row : tile.column) + drawn;
  long long z[kOutputs][kOutputs] = {};
  for (uint32_t first = 0; first < step.pairs; first += kPairsAtOnce) {
    const uint32_t pair = first + slot;
    const int32_t f = pair < step.pairs ? step.fitness[pair] : 0;
    for (uint32_t r = 0; r < model.rank; ++r) {
      const core::Word4 block =
          DrawBlock(model, step.noise_step, pair, tile.tensor,
                    draws_a ? core::Factor::kA : core::Factor::kB, r, 0, element);
      for (uint32_t e = 0; e < kDraw; ++e) {
        const int32_t value = DrawnValue(model, block, element + e);
        if (draws_a)
          a[slot][drawn + e] = static_cast<int16_t>(f * value);
        else
          b[slot][drawn + e] = static_cast<int16_t>(value);
      }
      __syncthreads();
      int32_t part[kOutputs][kOutputs] = {};
#pragma unroll 4
      for (uint32_t k = 0; k < kPairsAtOnce; ++k)
        for (uint32_t i = 0; i < kOutputs; ++i)
          for (uint32_t j = 0; j < kOutputs; ++j)
            part[i][j] += a[k][i0 + 16 * i] * b[k][j0 + 16 * j];
      for (uint32_t i = 0; i < kOutputs; ++i)
        for (uint32_t j = 0; j < kOutputs; ++j) z[i][j] += part[i][j];
      __syncthreads();
    }
  }
  for (uint32_t i = 0; i < kOutputs; ++i) {
    for (uint32_t j = 0; j < kOutputs; ++j) {
      const uint32_t row = tile.row + i0 + 16 * i, column = tile.column + j0 + 16 * j;
      if (row >= tile.rows || column >= tile.columns) continue;
      const uint64_t at = tile.offset + uint64_t{row} * tile.columns + column;
      updated[at] = static_cast<int8_t>(
          core::UpdatedWeight(model.weights[at], z[i][j], step.matrix_threshold));
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    UpdateElementsKernel(ModelView model, UpdateStep step, const UpdateTile* tiles,
                         int8_t* updated) {
  __shared__ unsigned long long z[kElementTile];
  const UpdateTile tile = tiles[blockIdx.x];
  if (threadIdx.x < kElementTile) z[threadIdx.x] = 0;
  __syncthreads();
  const uint32_t first_block = tile.row * core::BlocksPerRow(model.noise, tile.columns);
  int32_t part[kElementTile] = {};  // at most 2^15 pairs a thread, |f * noise| < 2^13
  for (uint32_t pair = threadIdx.x; pair < step.pairs; pair += kThreads) {
    const int32_t f = step.fitness[pair];
    if (f == 0) continue;
    const core::Word4 block = DrawBlock(model, step.noise_step, pair, tile.tensor, core::Factor::kA,
                                        0, first_block, tile.column);
#pragma unroll
    for (uint32_t e = 0; e < kElementTile; ++e)
      part[e] += f * DrawnValue(model, block, tile.column + e);
  }
#pragma unroll
  for (uint32_t e = 0; e < kElementTile; ++e)
    atomicAdd(&z[e], static_cast<unsigned long long>(static_cast<long long>(part[e])));
  __syncthreads();
  const uint32_t column = tile.column + threadIdx.x;
  if (threadIdx.x >= kElementTile || column >= tile.columns) return;
  const uint64_t at = tile.offset + uint64_t{tile.row} * tile.columns + column;
  updated[at] = static_cast<int8_t>(core::UpdatedWeight(
      model.weights[at], static_cast<int64_t>(z[threadIdx.x]), step.element_threshold));
}

__global__ void __launch_bounds__(kThreads)
    DigestKernel(const uint64_t* words, uint64_t first, uint64_t count, unsigned long long* lanes) {
  core::Digest digest;
  for (uint64_t i = uint64_t{blockIdx.x} * kThreads + threadIdx.x; i < count;
       i += uint64_t{gridDim.x} * kThreads)
    digest += core::DigestOfWord(first + i, words[first + i]);
  for (int offset = 16; offset != 0; offset /= 2) {
    digest.lane0 += __shfl_xor_sync(0xFFFFFFFFu, digest.lane0, offset);
    digest.lane1 += __shfl_xor_sync(0xFFFFFFFFu, digest.lane1, offset);
  }
  if (threadIdx.x % 32 != 0) return;
  atomicAdd(&lanes[0], digest.lane0);
  atomicAdd(&lanes[1], digest.lane1);
}

cudaError_t UpdateMatrices(const ModelView& model, const UpdateStep& step, const UpdateTile* tiles,
                           uint32_t count, int32_t*, int8_t* updated) {
  UpdateMatricesKernel<<<count, kThreads>>>(model, step, tiles, updated);
  return cudaGetLastError();
}

cudaError_t UpdateElements(const ModelView& model, const UpdateStep& step, const UpdateTile* tiles,
                           uint32_t count, int32_t*, int8_t* updated) {
  UpdateElementsKernel<<<count, kThreads>>>(model, step, tiles, updated);
  return cudaGetLastError();
}

}  // namespace

const UpdateMethod kReferenceMatrices{kMatrixTile, kMatrixTile, false, UpdateMatrices};
const UpdateMethod kReferenceElements{1, kElementTile, false, UpdateElements};

cudaError_t AddDigest(const int8_t* weights, uint64_t first, uint64_t count,
                      unsigned long long* lanes) {
  const uint64_t blocks = (count + kThreads - 1) / kThreads;
  if (blocks == 0) return cudaSuccess;
  DigestKernel<<<static_cast<uint32_t>(blocks < 1024 ? blocks : 1024), kThreads>>>(
      reinterpret_cast<const uint64_t*>(weights), first, count, lanes);
  return cudaGetLastError();
}

}  // namespace hatchery::cuda

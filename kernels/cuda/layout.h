// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// How evaluate_hopper.cu lays out weights and noise, for D = 256. A thread of a matrix product
// holds the columns 8 j + 2 q + {0, 1} of a row. So that a thread's four neighbours in a register
// are four neighbours in the next product's input, inputs are permuted within every 128 columns:
// column 32 g + 8 j + 2 q + b is byte 32 q + 8 g + 4 b + j. Sums do not care. The noise bits of a
// thread's 32 columns of 128 are one word, those of a register's four one mask in it.
#pragma once

#include <cstdint>

namespace hatchery::cuda {

inline constexpr uint32_t kHopperHidden = 256;

// The weights are a stream of stages in the order in which the kernel multiplies. A stage is two
// plates of 128 rows (n) by 128 permuted columns, swizzled as the tensor cores read them: of W2 the
// two halves of the rows, of other matrices the two halves of the columns. A layer's stages are
//
//   half 0: Wf Uf, half 1: Wf Uf, half 0: Wh Uh, half 1: Wh Uh,
//   W1 0, W1 1, W2 0, W1 2, W2 1, ... W1 7, W2 6, W2 7
//
// where W1 c are the rows, W2 c the columns of the c-th 128 hidden values.
inline constexpr uint32_t kPlateBytes = 128 * 128;
inline constexpr uint32_t kStageBytes = 2 * kPlateBytes;
inline constexpr uint32_t kGateStages = 8;
inline constexpr uint32_t kMlpChunks = 8;
inline constexpr uint32_t kLayerStages = kGateStages + 2 * kMlpChunks;
inline constexpr uint32_t kHeadStages = 2;
__host__ __device__ inline uint32_t StagesOf(uint32_t layers) {
  return layers * kLayerStages + kHeadStages;
}
__host__ __device__ inline uint32_t PlaceOfW1(uint32_t chunk) {
  return kGateStages + (chunk == 0 ? 0 : 2 * chunk - 1);
}
__host__ __device__ inline uint32_t PlaceOfW2(uint32_t chunk) {
  return kGateStages + 2 * chunk + (chunk + 1 == kMlpChunks ? 1 : 2);
}

// Gains, biases and embedding rows: permuted columns, three versions of each. Biases and embedding
// are offset bytes (packed.cuh).
enum VectorVersion : uint32_t { kPlus, kMinus, kPlain, kVersions };
inline constexpr uint32_t kVectorBytes = kVersions * kHopperHidden;
inline constexpr uint32_t kLayerVectors = 4;
enum LayerVector : uint32_t { kVectorNorm1, kVectorBf, kVectorBh, kVectorNorm2 };

// Units of 128 noise bits of a layer for one pair, in the order below; then norm_out and head.
inline constexpr uint32_t kLayerUnits = 44;
inline constexpr uint32_t kHeadUnits = 6;
enum LayerUnit : uint32_t {
  kUnitNorm1 = 0,
  kUnitWfA = 2,
  kUnitWfB = 4,
  kUnitUfA = 6,
  kUnitUfB = 8,
  kUnitBf = 10,
  kUnitWhA = 12,
  kUnitWhB = 14,
  kUnitUhA = 16,
  kUnitUhB = 18,
  kUnitBh = 20,
  kUnitNorm2 = 22,
  kUnitW1A = 24,
  kUnitW1B = 32,
  kUnitW2A = 34,
  kUnitW2B = 36,
};
enum HeadUnit : uint32_t { kUnitNormOut = 0, kUnitHeadA = 2, kUnitHeadB = 4 };

// Column (of 128) at permuted byte `position`.
__host__ __device__ inline uint32_t ColumnAt(uint32_t position) {
  const uint32_t q = position >> 5, g = position >> 3 & 3, b = position >> 2 & 1, j = position & 3;
  return 32 * g + 8 * j + 2 * q + b;
}

}  // namespace hatchery::cuda

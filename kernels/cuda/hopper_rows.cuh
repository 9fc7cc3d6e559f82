// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Where a consumer thread of evaluate_hopper.cu keeps its parts of its two rows: in tiles of shared
// memory, which products read too, or in device memory of its own.
#pragma once

#include "kernels/cuda/hopper_shared.cuh"

namespace hatchery::cuda {

inline constexpr uint32_t kRowChunks = 8;  // 16-byte pieces of a thread's two rows

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Registers of a thread's part of 128 columns of one row: i = 2 g + b (layout.h).
struct Half {
  uint32_t r[8];
};
__device__ inline void Spread(Half& half, uint32_t c, uint4 v) {
  half.r[4 * c] = v.x, half.r[4 * c + 1] = v.y, half.r[4 * c + 2] = v.z, half.r[4 * c + 3] = v.w;
}
__device__ inline uint4 Piece(const Half& half, uint32_t c) {
  return {half.r[4 * c], half.r[4 * c + 1], half.r[4 * c + 2], half.r[4 * c + 3]};
}

// Rows in device memory, at a thread's first piece.
__device__ inline void StoreRows(uint4* rows, uint32_t half, uint32_t row, const Half& v) {
#pragma unroll
  for (uint32_t c = 0; c < 2; ++c) rows[(half * 4 + row * 2 + c) * kGroupThreads] = Piece(v, c);
}
__device__ inline Half LoadRows(const uint4* rows, uint32_t half, uint32_t row) {
  Half v;
#pragma unroll
  for (uint32_t c = 0; c < 2; ++c) Spread(v, c, rows[(half * 4 + row * 2 + c) * kGroupThreads]);
  return v;
}

// The tiles of one warpgroup. The residual lies where h lay, or will lie.
enum TileName : uint32_t { kXTile, kStateTile, kGatedTile, kResidualTile = kStateTile };
struct Tiles {
  int8_t (&tiles)[kTiles][kTile];
  uint32_t place[2];  // of this thread's pieces in a half tile, first row

  __device__ uint32_t Address(uint32_t tile) const { return SharedAddress(tiles[tile]); }
  __device__ void Store(uint32_t tile, uint32_t half, uint32_t row, const Half& v) const {
    int8_t* base = tiles[tile] + half * kHalfTile + row * 1024;
#pragma unroll
    for (uint32_t c = 0; c < 2; ++c) *reinterpret_cast<uint4*>(base + place[c]) = Piece(v, c);
  }
  __device__ Half Load(uint32_t tile, uint32_t half, uint32_t row) const {
    const int8_t* base = tiles[tile] + half * kHalfTile + row * 1024;
    Half v;
#pragma unroll
    for (uint32_t c = 0; c < 2; ++c) Spread(v, c, *reinterpret_cast<const uint4*>(base + place[c]));
    return v;
  }
};

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace hatchery::cuda

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Z for Rademacher noise as an int8 product on the tensor cores (mma.sync, Ampere and later), with
// K = pairs. A block holds a 128 x 128 tile of Z; noise is drawn on the chip, 64 pairs at a time,
// and never stored: a thread draws the 128 bits of A or B of one pair. Shared memory holds the bits
// transposed, byte k of four neighbouring pairs in one word, so that one shift and one mask give
// the four pairs' bits of one element, which is one register of a product's operand.
#include <cuda_runtime.h>

#include "kernels/core/update.h"
#include "kernels/cuda/packed.cuh"
#include "kernels/cuda/update.h"

namespace hatchery::cuda {
namespace {

constexpr uint32_t kThreads = 128;
constexpr uint32_t kTileElements = kFastTile * kFastTile;
constexpr uint32_t kUnitBytes = 16;  // 128 bits
constexpr uint32_t kRowWords = 20;   // of four pairs' bits: 16, padded so that writes do not clash
constexpr uint32_t kMatrixPairs = 64;
constexpr uint32_t kElementPairs = 128;

// Bits of `kPairs` pairs, transposed in fours.
template <uint32_t kPairs>
struct Bits {
  uint32_t rows[kPairs / 4][kRowWords];

  __device__ void Store(uint32_t pair, core::Word4 block) {
    uint8_t* to = reinterpret_cast<uint8_t*>(rows[pair / 4]) + pair % 4;
#pragma unroll
    for (uint32_t k = 0; k < kUnitBytes; ++k)
      to[4 * k] = static_cast<uint8_t>(core::WordAt(block, k / 4) >> 8 * (k % 4));
  }
};

// f and -f of `kPairs` pairs, four a word.
template <uint32_t kPairs>
struct Fitness {
  uint32_t plus[kPairs / 4], minus[kPairs / 4];

  __device__ void Store(uint32_t pair, int32_t f) {
    reinterpret_cast<int8_t*>(plus)[pair] = static_cast<int8_t>(f);
    reinterpret_cast<int8_t*>(minus)[pair] = static_cast<int8_t>(-f);
  }
};

__device__ inline int32_t FitnessOf(const UpdateStep& step, uint32_t pair) {
  return pair < step.pairs ? step.fitness[pair] : 0;
}

// The pairs that block row `blockIdx.y` sums, in chunks.
struct Chunks {
  uint32_t begin, end;
};
__device__ inline Chunks MyChunks(uint32_t pairs, uint32_t pairs_a_chunk) {
  const uint32_t all = (pairs + pairs_a_chunk - 1) / pairs_a_chunk;
  const uint32_t each = (all + gridDim.y - 1) / gridDim.y;
  const uint32_t begin = min(blockIdx.y * each, all);
  return {begin, min(begin + each, all)};
}

// c += a b for 16 x 32 by 32 x 8.
__device__ inline void Mma(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// What a chunk of pairs brings to a tile.
struct MatrixChunk {
  Bits<kMatrixPairs> a, b;
  Fitness<kMatrixPairs> fitness;
};

__device__ void DrawChunk(const ModelView& model, const UpdateStep& step, const UpdateTile& tile,
                          uint32_t chunk, uint32_t rank, MatrixChunk& out) {
  const uint32_t slot = threadIdx.x % kMatrixPairs, pair = chunk * kMatrixPairs + slot;
  const bool draws_a = threadIdx.x < kMatrixPairs;
  const core::Word4 block = core::NoiseBlock(model.seed, step.noise_step, pair, tile.tensor,
                                             draws_a ? core::Factor::kA : core::Factor::kB, rank,
                                             (draws_a ? tile.row : tile.column) / kFastTile);
  (draws_a ? out.a : out.b).Store(slot, block);
  if (draws_a) out.fitness.Store(slot, FitnessOf(step, pair));
}

// Adds a chunk to a warp's 64 x 64 part of the tile, which starts at byte row_byte of A's bits and
// column_byte of B's. Thread 4 g + q takes elements g of every eight and pairs 4 q + {0, 1, 2, 3}.
__device__ inline void MultiplyChunk(const MatrixChunk& chunk, uint32_t row_byte,
                                     uint32_t column_byte, int32_t (&z)[4][8][4]) {
  const uint32_t g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
#pragma unroll 1
  for (uint32_t k = 0; k < kMatrixPairs / 32; ++k) {
    const uint32_t fours[2] = {8 * k + q, 8 * k + 4 + q};
    uint32_t b[8][2], plus[2], minus[2];
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      plus[half] = chunk.fitness.plus[fours[half]], minus[half] = chunk.fitness.minus[fours[half]];
      const uint4* row = reinterpret_cast<const uint4*>(chunk.b.rows[fours[half]] + column_byte);
#pragma unroll
      for (uint32_t i = 0; i < 2; ++i) {
        const uint4 words = row[i];
        b[4 * i][half] = SignBytes(words.x >> g), b[4 * i + 1][half] = SignBytes(words.y >> g);
        b[4 * i + 2][half] = SignBytes(words.z >> g), b[4 * i + 3][half] = SignBytes(words.w >> g);
      }
    }
#pragma unroll
    for (uint32_t m = 0; m < 4; ++m) {
      uint32_t a[4];
#pragma unroll
      for (uint32_t half = 0; half < 2; ++half) {
        const uint2 words =
            *reinterpret_cast<const uint2*>(chunk.a.rows[fours[half]] + row_byte + 2 * m);
        const uint32_t masks[2] = {MaskBytes(words.x >> g), MaskBytes(words.y >> g)};
#pragma unroll
        for (uint32_t i = 0; i < 2; ++i)
          a[2 * half + i] = (plus[half] & ~masks[i]) | (minus[half] & masks[i]);
      }
#pragma unroll
      for (uint32_t n = 0; n < 8; ++n) Mma(z[m][n], a, b[n]);
    }
  }
}

__global__ void __launch_bounds__(kThreads, 2)
    SumMatrices(ModelView model, UpdateStep step, const UpdateTile* tiles, int32_t* sums) {
  __shared__ __align__(16) MatrixChunk chunks[2];
  const UpdateTile tile = tiles[blockIdx.x];
  const uint32_t warp = threadIdx.x / 32;
  const uint32_t row = warp / 2 * 64, column = warp % 2 * 64;
  int32_t z[4][8][4] = {};
  const Chunks mine = MyChunks(step.pairs, kMatrixPairs);
  uint32_t buffer = 0;
  for (uint32_t chunk = mine.begin; chunk < mine.end; ++chunk) {
    for (uint32_t rank = 0; rank < model.rank; ++rank, buffer ^= 1) {
      DrawChunk(model, step, tile, chunk, rank, chunks[buffer]);
      __syncthreads();  // also: everybody is done with the other buffer
      MultiplyChunk(chunks[buffer], row / 8, column / 8, z);
    }
  }
  const uint32_t g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
  int32_t* out = sums + size_t{blockIdx.x} * kTileElements;
#pragma unroll
  for (uint32_t m = 0; m < 4; ++m)
#pragma unroll
    for (uint32_t n = 0; n < 8; ++n)
#pragma unroll
      for (uint32_t i = 0; i < 4; ++i)
        atomicAdd(
            &out[(row + 16 * m + g + 8 * (i / 2)) * kFastTile + column + 8 * n + 2 * q + i % 2],
            z[m][n][i]);
}

// Z of 128 elements of a gain, bias or embedding row: thread e sums element e.
__global__ void __launch_bounds__(kThreads)
    SumElements(ModelView model, UpdateStep step, const UpdateTile* tiles, int32_t* sums) {
  __shared__ __align__(16) Bits<kElementPairs> bits[2];
  __shared__ __align__(16) Fitness<kElementPairs> fitness[2];
  const UpdateTile tile = tiles[blockIdx.x];
  const uint32_t block =
      tile.row * core::BlocksPerRow(model.noise, tile.columns) + tile.column / kFastTile;
  const uint32_t byte = threadIdx.x / 8, bit = threadIdx.x % 8;
  int32_t z = 0;
  const Chunks mine = MyChunks(step.pairs, kElementPairs);
  for (uint32_t chunk = mine.begin; chunk < mine.end; ++chunk) {
    const uint32_t buffer = chunk & 1, pair = chunk * kElementPairs + threadIdx.x;
    bits[buffer].Store(threadIdx.x, core::NoiseBlock(model.seed, step.noise_step, pair, tile.tensor,
                                                     core::Factor::kA, 0, block));
    fitness[buffer].Store(threadIdx.x, FitnessOf(step, pair));
    __syncthreads();
#pragma unroll 8
    for (uint32_t four = 0; four < kElementPairs / 4; ++four)
      z = Dot(fitness[buffer].plus[four], SignBytes(bits[buffer].rows[four][byte] >> bit), z);
  }
  atomicAdd(&sums[size_t{blockIdx.x} * kFastTile + threadIdx.x], z);
}

// Moves the weights of tile blockIdx.x, kHeight rows of 128 elements, by their sums.
template <uint32_t kHeight>
__global__ void MoveWeights(ModelView model, uint64_t threshold, const UpdateTile* tiles,
                            const int32_t* sums, int8_t* updated) {
  const UpdateTile tile = tiles[blockIdx.x];
  const uint32_t column = tile.column + threadIdx.x;
  if (column >= tile.columns) return;
  for (uint32_t r = 0; r < kHeight && tile.row + r < tile.rows; ++r) {
    const uint64_t at = tile.offset + uint64_t{tile.row + r} * tile.columns + column;
    const int32_t z = sums[(size_t{blockIdx.x} * kHeight + r) * kFastTile + threadIdx.x];
    updated[at] = static_cast<int8_t>(core::UpdatedWeight(model.weights[at], z, threshold));
  }
}

// Blocks that share one tile's pairs, so that even a few tiles fill the device.
uint32_t SplitsOf(uint32_t tiles, uint32_t pairs, uint32_t pairs_a_chunk) {
  constexpr uint32_t kEnoughBlocks = 4096, kLeastChunks = 16;
  const uint32_t most = pairs / (pairs_a_chunk * kLeastChunks) + 1;
  const uint32_t wanted = (kEnoughBlocks + tiles - 1) / tiles;
  return wanted < most ? wanted : most;
}

}  // namespace

bool FastUpdateFits(const ModelView& model, uint32_t pairs, uint32_t largest_fitness) {
  return model.noise == core::Noise::kRademacher &&
         uint64_t{pairs} * model.rank * largest_fitness < (uint64_t{1} << 31);
}

cudaError_t FastUpdateMatrices(const ModelView& model, const UpdateStep& step,
                               const UpdateTile* tiles, uint32_t count, int32_t* sums,
                               int8_t* updated) {
  const dim3 grid(count, SplitsOf(count, step.pairs, kMatrixPairs));
  const cudaError_t error = cudaMemsetAsync(sums, 0, size_t{count} * kTileElements * sizeof *sums);
  if (error != cudaSuccess) return error;
  SumMatrices<<<grid, kThreads>>>(model, step, tiles, sums);
  MoveWeights<kFastTile><<<count, kFastTile>>>(model, step.matrix_threshold, tiles, sums, updated);
  return cudaGetLastError();
}

cudaError_t FastUpdateElements(const ModelView& model, const UpdateStep& step,
                               const UpdateTile* tiles, uint32_t count, int32_t* sums,
                               int8_t* updated) {
  const dim3 grid(count, SplitsOf(count, step.pairs, kElementPairs));
  const cudaError_t error = cudaMemsetAsync(sums, 0, size_t{count} * kFastTile * sizeof *sums);
  if (error != cudaSuccess) return error;
  SumElements<<<grid, kThreads>>>(model, step, tiles, sums);
  MoveWeights<1><<<count, kFastTile>>>(model, step.element_threshold, tiles, sums, updated);
  return cudaGetLastError();
}

}  // namespace hatchery::cuda

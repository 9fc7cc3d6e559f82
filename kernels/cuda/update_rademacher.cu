// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Z for Rademacher noise from Ampere on. Noise is drawn on the chip and never stored. Of matrices Z
// is an int8 product on the tensor cores (mma.sync) with K = pairs: a block holds a 128 x 128 tile
// of it and draws 64 pairs at a time, a thread the 128 bits of A or B of one pair. Shared memory
// holds the bits transposed, byte k of four neighbouring pairs in one word, so that one shift and one
// mask give the four pairs' bits of one element, which is one register of a product's operand.
#include <cuda_runtime.h>

#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/update_move.cuh"
#include "kernels/cuda/update_noise.cuh"

namespace hatchery::cuda {
namespace {

constexpr uint32_t kThreads = 128;
constexpr uint32_t kTile = kDrawn;  // rows and columns of a matrix's tile; elements of a vector's
constexpr uint32_t kRowWords = 20;  // of four pairs' bits: 16, padded so that writes do not clash
constexpr uint32_t kMatrixPairs = 64;
constexpr uint32_t kElementPairs = 4 * kThreads;

// Bits of a chunk's pairs, transposed in fours.
struct Bits {
  uint32_t rows[kMatrixPairs / 4][kRowWords];

  __device__ void Store(uint32_t pair, core::Word4 block) {
    uint8_t* to = reinterpret_cast<uint8_t*>(rows[pair / 4]) + pair % 4;
#pragma unroll
    for (uint32_t k = 0; k < kDrawnBytes; ++k)
      to[4 * k] = static_cast<uint8_t>(core::WordAt(block, k / 4) >> 8 * (k % 4));
  }
};

// f and -f of a chunk's pairs, four a word.
struct Fitness {
  uint32_t plus[kMatrixPairs / 4], minus[kMatrixPairs / 4];

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

// What a chunk of pairs brings to a tile.
struct MatrixChunk {
  Bits a, b;
  Fitness fitness;
};

__device__ void DrawChunk(const ModelView& model, const UpdateStep& step, const UpdateTile& tile,
                          uint32_t chunk, uint32_t rank, MatrixChunk& out) {
  const uint32_t slot = threadIdx.x % kMatrixPairs, pair = chunk * kMatrixPairs + slot;
  const bool draws_a = threadIdx.x < kMatrixPairs;
  const core::Word4 block = core::NoiseBlock(model.seed, step.noise_step, pair, tile.tensor,
                                             draws_a ? core::Factor::kA : core::Factor::kB, rank,
                                             (draws_a ? tile.row : tile.column) / kDrawn);
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
      for (uint32_t n = 0; n < 8; ++n) MultiplyS8(z[m][n], a, b[n][0], b[n][1]);
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
  int32_t* out = sums + size_t{blockIdx.x} * kTile * kTile;
#pragma unroll
  for (uint32_t m = 0; m < 4; ++m)
#pragma unroll
    for (uint32_t n = 0; n < 8; ++n)
#pragma unroll
      for (uint32_t i = 0; i < 4; ++i)
        atomicAdd(
            &out[(row + 16 * m + g + 8 * (i / 2)) * kTile + column + 8 * n + 2 * q + i % 2],
            z[m][n][i]);
}

// Z of 128 elements of a gain, bias or embedding row. A thread sums all of them for four pairs at a
// time. The bits of element 8 k + b count 2^b, which saves a shift, and z = sum f (1 - 2 bit).
__global__ void __launch_bounds__(kThreads, 3)
    SumElements(ModelView model, UpdateStep step, const UpdateTile* tiles, int32_t* sums) {
  const UpdateTile tile = tiles[blockIdx.x];
  const uint32_t block =
      tile.row * core::BlocksPerRow(model.noise, tile.columns) + tile.column / kDrawn;
  int32_t all = 0, scaled[kTile] = {};  // at most 2^16 pairs a thread times 127 times 2^7: < 2^30
  const Chunks mine = MyChunks(step.pairs, kElementPairs);
  for (uint32_t chunk = mine.begin; chunk < mine.end; ++chunk) {
    const uint32_t pair = chunk * kElementPairs + 4 * threadIdx.x;
    if (pair >= step.pairs) break;
    const uint32_t fitness = FourFitness(step, pair);
    uint32_t words[kDrawnBytes];
    DrawFour(model, step.noise_step, pair, tile.tensor, core::Factor::kA, 0, block, words);
    all = Dot(fitness, 0x01010101u, all);
#pragma unroll
    for (uint32_t e = 0; e < kTile; ++e)
      scaled[e] = DotUnsigned(fitness, words[e / 8] & 0x01010101u << e % 8, scaled[e]);
  }
  const uint32_t lane = threadIdx.x % 32;
  int32_t z[kTile / 32];  // of the warp: lane l has elements l, 32 + l, ...
#pragma unroll
  for (uint32_t e = 0; e < kTile; ++e) {
    const int32_t sum = __reduce_add_sync(0xFFFFFFFFu, all - 2 * (scaled[e] >> e % 8));
    if (lane == e % 32) z[e / 32] = sum;
  }
#pragma unroll
  for (uint32_t i = 0; i < kTile / 32; ++i)
    atomicAdd(&sums[size_t{blockIdx.x} * kTile + 32 * i + lane], z[i]);
}

// Blocks that share one tile's pairs, so that even a few tiles fill the device.
uint32_t SplitsOf(uint32_t tiles, uint32_t pairs) {
  constexpr uint32_t kEnoughBlocks = 4096, kLeastPairs = 1024;
  const uint32_t most = pairs / kLeastPairs + 1;
  const uint32_t wanted = (kEnoughBlocks + tiles - 1) / tiles;
  return wanted < most ? wanted : most;
}

cudaError_t UpdateMatrices(const ModelView& model, const UpdateStep& step, const UpdateTile* tiles,
                           uint32_t count, int32_t* sums, int8_t* updated) {
  const dim3 grid(count, SplitsOf(count, step.pairs));
  const cudaError_t error = cudaMemsetAsync(sums, 0, size_t{count} * kTile * kTile * sizeof *sums);
  if (error != cudaSuccess) return error;
  SumMatrices<<<grid, kThreads>>>(model, step, tiles, sums);
  return Move<kTile>(model, step.matrix_threshold, tiles, count, sums, updated);
}

cudaError_t UpdateElements(const ModelView& model, const UpdateStep& step, const UpdateTile* tiles,
                           uint32_t count, int32_t* sums, int8_t* updated) {
  const dim3 grid(count, SplitsOf(count, step.pairs));
  const cudaError_t error = cudaMemsetAsync(sums, 0, size_t{count} * kTile * sizeof *sums);
  if (error != cudaSuccess) return error;
  SumElements<<<grid, kThreads>>>(model, step, tiles, sums);
  return Move<1>(model, step.element_threshold, tiles, count, sums, updated);
}

}  // namespace

const UpdateMethod kRademacherMatrices{kTile, kTile, true, UpdateMatrices};
const UpdateMethod kRademacherElements{1, kTile, true, UpdateElements};

bool FastUpdateFits(const ModelView& model, uint32_t pairs, uint32_t largest_fitness) {
  return model.noise == core::Noise::kRademacher &&
         uint64_t{pairs} * model.rank * largest_fitness < (uint64_t{1} << 31);
}

}  // namespace hatchery::cuda

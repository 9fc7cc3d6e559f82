// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Z = sum over pairs of f * noise, and the weight's step; the digest. Noise is drawn where it is
// used: each threadgroup holds a tile of Z in registers and walks over the pairs.
#include "kernels/core/digest.h"
#include "kernels/core/update.h"
#include "metal/kernels/threads.h"

namespace hatchery {
namespace apple {

HATCHERY_CONSTANT uint32_t kOutputs = 16;  // of Z a thread holds: 4 x 4, 16 rows or columns apart
// One thread draws kElementTile values of one pair: a Gaussian block, an eighth of a Rademacher.
static_assert(kExactPairs * 2 * kUpdateTile / kElementTile == kThreads, "a draw a thread");
static_assert(kUpdateTile * kUpdateTile == kThreads * kOutputs, "16 x 16 threads");

inline core::Noise KindOf(uint32_t gaussian) {
  return gaussian != 0 ? core::Noise::kGaussian : core::Noise::kRademacher;
}

}  // namespace apple
}  // namespace hatchery

using namespace hatchery;

HATCHERY_KERNEL UpdateMatrices(device const int8_t* weights [[buffer(0)]],
                               device const int8_t* fitness [[buffer(1)]],
                               device const apple::UpdateTile* tiles [[buffer(2)]],
                               device int8_t* updated [[buffer(3)]],
                               constant apple::UpdateArguments& args [[buffer(4)]],
                               HATCHERY_THREAD) {
  const apple::UpdateTile tile = tiles[group];
  const core::Noise kind = apple::KindOf(args.gaussian);
  const uint32_t in_block = core::ElementsPerBlock(kind);
  threadgroup float* a = reinterpret_cast<threadgroup float*>(shared);  // f * A, a row a pair
  threadgroup float* b = a + apple::kExactPairs * apple::kUpdateTile;
  const uint32_t drawer = thread_index / apple::kExactPairs;
  const uint32_t slot = thread_index % apple::kExactPairs;
  const uint32_t drawers = apple::kUpdateTile / apple::kElementTile;  // of each factor
  const bool draws_a = drawer < drawers;
  const uint32_t drawn = drawer % drawers * apple::kElementTile;
  const uint32_t element = (draws_a ? tile.row : tile.column) + drawn;
  threadgroup float* out = (draws_a ? a : b) + slot * apple::kUpdateTile + drawn;
  const uint32_t row = thread_index / 16, column = thread_index % 16;
  int64_t z[apple::kOutputs] = {};
  for (uint32_t first = 0; first < args.pairs; first += apple::kExactPairs) {
    const uint32_t pair = first + slot;
    const int32_t f = pair < args.pairs ? fitness[pair] : 0;
    const int32_t factor = draws_a ? f : 1;
    for (uint32_t r = 0; r < args.rank; ++r) {
      const core::Word4 block =
          core::NoiseBlock(args.seed, args.noise_step, pair, tile.tensor,
                           draws_a ? core::Factor::kA : core::Factor::kB, r, element / in_block);
      for (uint32_t e = 0; e < apple::kElementTile; ++e)
        out[e] =
            static_cast<float>(factor * core::NoiseValue(kind, block, (element + e) % in_block));
      threadgroup_barrier(mem_flags::mem_threadgroup);
      float part[apple::kOutputs] = {};
      for (uint32_t k = 0; k < apple::kExactPairs; ++k) {
        threadgroup const float* a_row = a + k * apple::kUpdateTile + row;
        threadgroup const float* b_row = b + k * apple::kUpdateTile + column;
        HATCHERY_UNROLL
        for (uint32_t n = 0; n < apple::kOutputs; ++n)
          part[n] += a_row[16 * (n / 4)] * b_row[16 * (n % 4)];
      }
      HATCHERY_UNROLL
      for (uint32_t n = 0; n < apple::kOutputs; ++n) z[n] += static_cast<int32_t>(part[n]);
      threadgroup_barrier(mem_flags::mem_threadgroup);
    }
  }
  HATCHERY_UNROLL
  for (uint32_t n = 0; n < apple::kOutputs; ++n) {
    const uint32_t y = tile.row + row + 16 * (n / 4), x = tile.column + column + 16 * (n % 4);
    if (y >= tile.rows || x >= tile.columns) continue;
    const uint64_t at = tile.offset + uint64_t{y} * tile.columns + x;
    updated[at] = static_cast<int8_t>(core::UpdatedWeight(weights[at], z[n], args.threshold));
  }
}

HATCHERY_KERNEL UpdateElements(device const int8_t* weights [[buffer(0)]],
                               device const int8_t* fitness [[buffer(1)]],
                               device const apple::UpdateTile* tiles [[buffer(2)]],
                               device int8_t* updated [[buffer(3)]],
                               constant apple::UpdateArguments& args [[buffer(4)]],
                               HATCHERY_THREAD) {
  const apple::UpdateTile tile = tiles[group];
  const core::Noise kind = apple::KindOf(args.gaussian);
  const uint32_t in_block = core::ElementsPerBlock(kind);
  const uint32_t block_index =
      tile.row * core::BlocksPerRow(kind, tile.columns) + tile.column / in_block;
  int32_t part[apple::kElementTile] = {};  // at most 2^15 pairs a thread, |f * noise| < 2^13
  for (uint32_t pair = thread_index; pair < args.pairs; pair += apple::kThreads) {
    const int32_t f = fitness[pair];
    if (f == 0) continue;
    const core::Word4 block = core::NoiseBlock(args.seed, args.noise_step, pair, tile.tensor,
                                               core::Factor::kA, 0, block_index);
    for (uint32_t e = 0; e < apple::kElementTile; ++e)
      part[e] += f * core::NoiseValue(kind, block, (tile.column + e) % in_block);
  }
  threadgroup int32_t* parts = reinterpret_cast<threadgroup int32_t*>(shared);
  for (uint32_t e = 0; e < apple::kElementTile; ++e)
    parts[e * apple::kThreads + thread_index] = part[e];
  threadgroup_barrier(mem_flags::mem_threadgroup);
  const uint32_t column = tile.column + thread_index;
  if (thread_index >= apple::kElementTile || column >= tile.columns) return;
  int64_t z = 0;
  for (uint32_t t = 0; t < apple::kThreads; ++t) z += parts[thread_index * apple::kThreads + t];
  const uint64_t at = tile.offset + uint64_t{tile.row} * tile.columns + column;
  updated[at] = static_cast<int8_t>(core::UpdatedWeight(weights[at], z, args.threshold));
}

// The digest of words [first, first + count), a part a threadgroup: two lanes each.
HATCHERY_KERNEL DigestWords(device const uint64_t* words [[buffer(0)]],
                            device uint64_t* parts [[buffer(1)]],
                            constant apple::DigestArguments& args [[buffer(2)]], HATCHERY_THREAD) {
  core::Digest digest;
  for (uint64_t i = uint64_t{group} * apple::kThreads + thread_index; i < args.count;
       i += uint64_t{args.groups} * apple::kThreads)
    digest += core::DigestOfWord(args.first + i, words[args.first + i]);
  threadgroup uint64_t* lanes = reinterpret_cast<threadgroup uint64_t*>(shared);
  lanes[thread_index] = digest.lane0;
  lanes[apple::kThreads + thread_index] = digest.lane1;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (thread_index >= 2) return;
  uint64_t sum = 0;
  for (uint32_t t = 0; t < apple::kThreads; ++t) sum += lanes[thread_index * apple::kThreads + t];
  parts[2 * group + thread_index] = sum;
}

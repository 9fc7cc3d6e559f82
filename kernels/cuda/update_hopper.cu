// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Z of matrices for Rademacher noise on Hopper's warpgroup products, with K = pairs. A block holds
// a 256 x 128 tile of Z in the registers of two warpgroups. Eight more warps draw the noise: one
// draws 128 elements of A or B for 128 pairs, a lane the four pairs that are one word of an
// element's row, and writes them as bytes, A times the fitness, into a ring of stages in shared
// memory. Stages of all tiles are one sequence, of which every block takes an equal run; where a
// run ends within a tile, blocks add up in `sums`.
#include <cuda_runtime.h>

#include "kernels/cuda/update_move.cuh"
#include "kernels/cuda/update_noise.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace hatchery::cuda {
namespace {

constexpr uint32_t kTileRows = 256, kTileColumns = kDrawn;
constexpr uint32_t kPairsAStage = 128;
constexpr uint32_t kParts = 3;  // that are drawn of a stage: two of A, one of B
constexpr uint32_t kPartBytes = kDrawn * kPairsAStage;
constexpr uint32_t kRing = 4;
constexpr uint32_t kGroups = 2;  // warpgroups that multiply, 128 rows of the tile each
constexpr uint32_t kMultipliers = kGroups * 128, kDrawers = 256;
constexpr uint32_t kThreads = kMultipliers + kDrawers;

struct Shared {
  alignas(1024) int8_t ring[kRing][kParts][kPartBytes];
  alignas(8) uint64_t full[kRing];
  uint64_t empty[kRing];
};
constexpr size_t kSharedBytes = sizeof(Shared) + 1024;  // room to align

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// The stages of a block: [begin, end) of those of all tiles.
struct Run {
  uint32_t begin, end;
  uint32_t ranks, chunks;  // a tile has a stage for each of both

  __device__ uint32_t StagesATile() const { return ranks * chunks; }
};
__device__ inline Run MyRun(const ModelView& model, const UpdateStep& step, uint32_t tiles) {
  const uint32_t chunks = (step.pairs + kPairsAStage - 1) / kPairsAStage;
  const uint64_t all = uint64_t{tiles} * model.rank * chunks;
  return {static_cast<uint32_t>(all * blockIdx.x / gridDim.x),
          static_cast<uint32_t>(all * (blockIdx.x + 1) / gridDim.x), model.rank, chunks};
}

// Where a stage lies; walked, as divisions would take a good part of the time of a draw.
struct Place {
  uint32_t tile, rank, chunk;

  __device__ void Advance(const Run& run, uint32_t stages) {
    for (chunk += stages; chunk >= run.chunks; chunk -= run.chunks)
      if (++rank == run.ranks) rank = 0, ++tile;
  }
};

// Slot and parity of the n-th stage of a run.
__device__ inline uint32_t SlotOf(uint32_t n) { return n % kRing; }
__device__ inline uint32_t ParityOf(uint32_t n) { return n / kRing & 1; }

// Writes plus where a noise bit is clear and minus where it is set, four pairs a lane. Rows are 128
// bytes, swizzled as TileDescriptor says.
__device__ inline void WriteRows(const uint32_t (&words)[kDrawnBytes], uint32_t plus,
                                 uint32_t minus, int8_t* rows) {
  const uint32_t lane = threadIdx.x % 32;
#pragma unroll
  for (uint32_t bit = 0; bit < 8; ++bit) {
    int8_t* to = rows + ((4 * lane) ^ (16 * bit));
#pragma unroll
    for (uint32_t k = 0; k < kDrawnBytes; ++k) {
      const uint32_t masks = UpperBitMasks(words[k] << (7 - bit));
      *reinterpret_cast<uint32_t*>(to + (8 * k + bit) * kPairsAStage) =
          (plus & ~masks) | (minus & masks);
    }
  }
}

// Warps take the parts of all stages in turn.
__device__ inline void Draw(const ModelView& model, const UpdateStep& step, const UpdateTile* tiles,
                            const Run& run, Shared& shared) {
  constexpr uint32_t kWarps = kDrawers / 32;
  const uint32_t warp = (threadIdx.x - kMultipliers) / 32, lane = threadIdx.x % 32;
  uint32_t n = warp / kParts, part = warp % kParts;
  const uint32_t stage = run.begin + n, of_tile = stage % run.StagesATile();
  Place place{stage / run.StagesATile(), of_tile / run.chunks, of_tile % run.chunks};
  while (n < run.end - run.begin) {
    const UpdateTile& tile = tiles[place.tile];
    const uint32_t pair = place.chunk * kPairsAStage + 4 * lane;
    const bool of_b = part + 1 == kParts;
    const uint32_t plus = of_b ? 0x01010101u : FourFitness(step, pair);
    uint32_t words[kDrawnBytes];
    DrawFour(model, step.noise_step, pair, tile.tensor, of_b ? core::Factor::kB : core::Factor::kA,
             place.rank, of_b ? tile.column / kDrawn : tile.row / kDrawn + part, words);
    BarrierWait(SharedAddress(&shared.empty[SlotOf(n)]), ParityOf(n) ^ 1);
    WriteRows(words, plus, __vneg4(plus), shared.ring[SlotOf(n)][part]);
    ProxyFence();
    BarrierArrive(SharedAddress(&shared.full[SlotOf(n)]));  // each lane for what it wrote
    part += kWarps % kParts;
    const uint32_t stages = kWarps / kParts + part / kParts;
    part %= kParts;
    n += stages;
    place.Advance(run, stages);
  }
}

// z += the stage in `slot`, for a group's 128 rows.
__device__ inline void Multiply(const Shared& shared, uint32_t slot, uint32_t group, bool first,
                                int32_t (&z)[2][64]) {
  const uint32_t a = SharedAddress(shared.ring[slot][group]);
  const uint32_t b = SharedAddress(shared.ring[slot][kParts - 1]);
  WgmmaFence();
#pragma unroll
  for (uint32_t k = 0; k < kPairsAStage; k += 32)
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half)
      Wgmma(z[half], TileDescriptor(a + half * kPartBytes / 2 + k), TileDescriptor(b + k),
            !first || k != 0);
  WgmmaCommit();
  WgmmaWait<0>();
}

// `out`: of the group's 128 rows.
__device__ inline void AddSums(const int32_t (&z)[2][64], int32_t* out) {
  const uint32_t warp = threadIdx.x % 128 / 32, g = threadIdx.x % 32 / 4, q = threadIdx.x % 4;
#pragma unroll
  for (uint32_t half = 0; half < 2; ++half)
#pragma unroll
    for (uint32_t i = 0; i < 64; ++i) {
      const uint32_t row = 64 * half + 16 * warp + g + 8 * (i / 2 % 2);
      atomicAdd(&out[row * kTileColumns + 8 * (i / 4) + 2 * q + i % 2], z[half][i]);
    }
}

__device__ inline void Sum(const Run& run, Shared& shared, int32_t* sums) {
  const uint32_t group = threadIdx.x / 128, stages_a_tile = run.StagesATile();
  uint32_t tile = run.begin / stages_a_tile, within = run.begin % stages_a_tile;
  int32_t z[2][64];
  bool first = true;
  for (uint32_t n = 0; n < run.end - run.begin; ++n) {
    BarrierWait(SharedAddress(&shared.full[SlotOf(n)]), ParityOf(n));
    Multiply(shared, SlotOf(n), group, first, z);
    if (threadIdx.x % 32 == 0) BarrierArrive(SharedAddress(&shared.empty[SlotOf(n)]));
    const bool tile_ends = ++within == stages_a_tile;
    first = tile_ends || run.begin + n + 1 == run.end;
    if (first) AddSums(z, sums + (size_t{tile} * kTileRows + 128 * group) * kTileColumns);
    if (tile_ends) within = 0, ++tile;
  }
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

__global__ void __launch_bounds__(kThreads, 1)
    SumTiles(const __grid_constant__ ModelView model, const __grid_constant__ UpdateStep step,
             const UpdateTile* tiles, uint32_t count, int32_t* sums) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ int8_t raw[];
  Shared& shared = *reinterpret_cast<Shared*>(raw + (-SharedAddress(raw) & 1023));
  if (threadIdx.x == 0) {
    for (uint32_t slot = 0; slot < kRing; ++slot) {
      BarrierInit(SharedAddress(&shared.full[slot]), kParts * 32);
      BarrierInit(SharedAddress(&shared.empty[slot]), kMultipliers / 32);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  const Run run = MyRun(model, step, count);
  if (threadIdx.x >= kMultipliers) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 88;");
    Draw(model, step, tiles, run, shared);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 168;");
    Sum(run, shared, sums);
  }
#else
  __trap();  // an error, where an empty kernel would leave all sums zero
#endif
}

cudaError_t Launch(const ModelView& model, const UpdateStep& step, const UpdateTile* tiles,
                   uint32_t count, int32_t* sums, int8_t* updated) {
  int device = 0, multiprocessors = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(SumTiles, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(kSharedBytes));
  if (error == cudaSuccess)
    error = cudaMemsetAsync(sums, 0, size_t{count} * kTileRows * kTileColumns * sizeof *sums);
  if (error != cudaSuccess) return error;
  SumTiles<<<static_cast<uint32_t>(multiprocessors), kThreads, kSharedBytes>>>(model, step, tiles,
                                                                               count, sums);
  return Move<kTileRows>(model, step.matrix_threshold, tiles, count, sums, updated);
}

}  // namespace

const UpdateMethod kHopperMatrices{kTileRows, kTileColumns, true, Launch};

}  // namespace hatchery::cuda

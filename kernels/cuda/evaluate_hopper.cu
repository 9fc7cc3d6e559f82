// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Fused evaluation for D = 256, rank 1, Rademacher noise, on Hopper's tensor cores. A block carries
// 128 members (64 pairs) through all tokens and layers. Two warpgroups own 64 members each and
// alternate between products (wgmma) and what follows them; a third streams the weights from L2
// through a ring that both read. Activations that a product reads lie in shared memory; a thread's
// own residuals, gates and recurrent state pass through L2. A pair's two members are rows r and
// r + 8 of the accumulators, so one thread holds both and reads their noise once.
//
// hopper_pack.cu lays the weights out, hopper_shared.cuh brings them in, hopper_noise.cuh draws and
// applies noise, hopper_rows.cuh keeps a thread's rows, hopper_worker.cuh declares the steps of a
// token, which hopper_step.cuh puts in order.
#include <cuda_runtime.h>

#include "kernels/core/score.h"
#include "kernels/core/window.h"
#include "kernels/cuda/evaluate_hopper.h"
#include "kernels/cuda/hopper_step.cuh"

namespace hatchery::cuda {
namespace {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <bool kPerturbed>
__device__ void Consume(const ModelView& model, const Sequences& sequences,
                        const HopperMemory& memory, Shared& shared, uint32_t tiles) {
  // The shuffle tells the compiler that a warp agrees on it, so addresses fit uniform registers.
  const uint32_t group = __shfl_sync(0xFFFFFFFFu, threadIdx.x / kGroupThreads, 0);
  const uint32_t thread = threadIdx.x % kGroupThreads;
  const uint32_t lane = thread % 32, warp = thread / 32, q = lane % 4, g = lane / 4;
  uint4* noise = memory.noise + size_t{blockIdx.x} * UnitsOf(model.layers) * kPairs;
  const uint32_t pair_place = 32 * group + 8 * warp + g;
  const uint32_t row_place = (16 * warp + g) * 128;
  Worker<kPerturbed> worker{
      model,
      memory,
      shared.exp2,
      {shared, lane == 0, 0},
      {shared.tiles[group], {row_place + ((2 * q) ^ g) * 16, row_place + ((2 * q + 1) ^ g) * 16}},
      group,
      thread,
      q,
      reinterpret_cast<const uint32_t*>(noise + pair_place) + q,
      16 >> model.sigma_shift,
      __shfl_sync(0xFFFFFFFFu, 0x80808080u, 0)};
  for (uint32_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    if (kPerturbed) {
      NamedBarrier(kGroups + 1, kGroups * kGroupThreads);  // the last tile's noise is done with
      DrawNoise(model, sequences.noise_step, sequences.first_pair + tile * kPairs, threadIdx.x,
                noise);
      NamedBarrier(kGroups + 1, kGroups * kGroupThreads);
    }
    // Rows past the end repeat the last sequence; nobody reads their results.
    const uint32_t sequence = 2 * (tile * kPairs + pair_place);
    const uint32_t last = sequences.count - 1;
    const uint32_t rows[2] = {min(sequence, last), min(sequence + 1, last)};
    const uint32_t pair = sequences.first_pair + rows[0] / 2;
    const uint8_t* bytes[2];
    if (kPerturbed) {
      bytes[0] = bytes[1] = sequences.bytes + core::WindowOffset(model.seed, sequences.step,
                                                                 pair / sequences.pairs_per_group,
                                                                 sequences.positions);
    } else {
      for (uint32_t r = 0; r < 2; ++r) bytes[r] = sequences.bytes + rows[r] * sequences.stride;
    }
    SequenceSums sums[2] = {};
    uint32_t tokens[2] = {bytes[0][0], bytes[1][0]};
    for (uint32_t at = 0; at < sequences.tokens; ++at) {
      const uint32_t targets[2] = {bytes[0][at + 1], bytes[1][at + 1]};
      const auto logits = worker.Step(tokens, targets, at == 0, pair, sequences.noise_step);
#pragma unroll
      for (uint32_t r = 0; r < 2; ++r) {
        tokens[r] = targets[r];
        if (at < sequences.unscored) continue;
        sums[r].score += core::TokenScore(logits.target[r], logits.terms[r]);
        if (kPerturbed) continue;
        sums[r].coarse_score += core::CoarseTokenScore(logits.target[r], logits.terms[r]);
        sums[r].correct += logits.first[r] == targets[r];
      }
    }
    for (uint32_t r = 0; r < 2; ++r) {
      if (q != r || sequence + r > last) continue;
      if (sequences.scores != nullptr)
        sequences.scores[sequence + r] = static_cast<int32_t>(sums[r].score);
      if (sequences.sums != nullptr) sequences.sums[sequence + r] = sums[r];
    }
  }
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

template <bool kPerturbed>
__global__ void __launch_bounds__(kThreads, 1)
    HopperKernel(const __grid_constant__ ModelView model,
                 const __grid_constant__ Sequences sequences,
                 const __grid_constant__ HopperMemory memory) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ int8_t raw[];
  Shared& shared = *reinterpret_cast<Shared*>(raw + (-SharedAddress(raw) & 1023));
  for (uint32_t i = threadIdx.x; i < core::kVocabulary; i += kThreads)
    shared.exp2[i] = core::Exp2Table(i);
  if (threadIdx.x == 0) OpenRing(shared);
  __syncthreads();
  const uint32_t tiles = (sequences.count + kHopperMembers - 1) / kHopperMembers;
  if (threadIdx.x >= kGroups * kGroupThreads) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x == kGroups * kGroupThreads && blockIdx.x < tiles) {
      const uint64_t mine = (tiles - blockIdx.x + gridDim.x - 1) / gridDim.x;
      Produce(memory, shared, StagesOf(model.layers), mine * sequences.tokens);
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    Consume<kPerturbed>(model, sequences, memory, shared, tiles);
  }
#else
  __trap();  // an error, where an empty kernel would leave scores as they were
#endif
}

__device__ bool is_sm90a;
__global__ void SayWhetherSm90a() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  is_sm90a = true;
#else
  is_sm90a = false;
#endif
}

template <bool kPerturbed>
cudaError_t Launch(const ModelView& model, const Sequences& sequences, uint32_t blocks,
                   const HopperMemory& memory) {
  const cudaError_t error =
      cudaFuncSetAttribute(HopperKernel<kPerturbed>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(kSharedBytes));
  if (error != cudaSuccess) return error;
  HopperKernel<kPerturbed><<<blocks, kThreads, kSharedBytes>>>(model, sequences, memory);
  return cudaGetLastError();
}

}  // namespace

HopperSizes SizesFor(uint32_t layers, uint32_t blocks) {
  const size_t rows = size_t{blocks} * kGroups * kRowChunks * kGroupThreads;
  return {size_t{StagesOf(layers)} * kStageBytes,
          (size_t{layers} * kLayerVectors + 1) * kVectorBytes,
          size_t{core::kVocabulary} * kVectorBytes,
          size_t{blocks} * UnitsOf(layers) * kPairs,
          rows * layers,
          rows * 2};
}

cudaError_t RunsSm90a(bool& runs) {
  SayWhetherSm90a<<<1, 1>>>();
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? cudaMemcpyFromSymbol(&runs, is_sm90a, sizeof runs) : error;
}

bool HopperFits(const ModelView& model) {
  return model.hidden == kHopperHidden && model.rank == 1 &&
         model.noise == core::Noise::kRademacher;
}

cudaError_t HopperEvaluate(const ModelView& model, const Sequences& sequences, uint32_t blocks,
                           const HopperMemory& memory) {
  return sequences.perturbed ? Launch<true>(model, sequences, blocks, memory)
                             : Launch<false>(model, sequences, blocks, memory);
}

}  // namespace hatchery::cuda

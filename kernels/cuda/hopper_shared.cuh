// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The shared memory of evaluate_hopper.cu's blocks, and the ring in it through which weights pass
// from L2 to the tensor cores. Every token turns the ring a whole number of times, so a stage's
// slot is known where it is used; only the parity of the turns is counted.
#pragma once

#include "kernels/core/egg.h"
#include "kernels/cuda/evaluate_hopper.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/wgmma.cuh"

namespace hatchery::cuda {

inline constexpr uint32_t kGroups = 2;  // consumer warpgroups
inline constexpr uint32_t kGroupThreads = 128;
inline constexpr uint32_t kThreads = (kGroups + 1) * kGroupThreads;
inline constexpr uint32_t kPairs = kHopperMembers / 2;
inline constexpr uint32_t kRing = 4;
inline constexpr uint32_t kHalfTile = kHopperMembers / kGroups * 128;  // bytes: 128 columns
inline constexpr uint32_t kTile = 2 * kHalfTile;
inline constexpr uint32_t kTiles = 3;  // a group: x, h, and g or the MLP's hidden values
static_assert(kLayerStages % (2 * kRing) == 0, "a layer keeps the parity");
static_assert(kHeadStages <= kRing, "the head takes one turn");

struct Shared {
  alignas(1024) int8_t ring[kRing][kStageBytes];
  alignas(1024) int8_t tiles[kGroups][kTiles][kTile];
  uint32_t exp2[core::kVocabulary];
  alignas(8) uint64_t full[kRing];
  uint64_t empty[kRing];
};
inline constexpr size_t kSharedBytes = sizeof(Shared) + 1024;  // room to align

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Called by one thread before the others go on.
__device__ inline void OpenRing(Shared& shared) {
  for (uint32_t slot = 0; slot < kRing; ++slot) {
    BarrierInit(SharedAddress(&shared.full[slot]), 1);
    BarrierInit(SharedAddress(&shared.empty[slot]), kGroups * kGroupThreads / 32);
  }
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// Streams the stages of `tokens` tokens into the ring. Slots that the head leaves over are passed
// on empty.
__device__ inline void Produce(const HopperMemory& memory, Shared& shared, uint32_t stages,
                               uint64_t tokens) {
  const uint32_t ring = SharedAddress(shared.ring), full = SharedAddress(shared.full),
                 empty = SharedAddress(shared.empty);
  const uint32_t places = (stages + kRing - 1) / kRing * kRing;
  uint32_t parity = 1;
  for (uint64_t token = 0; token < tokens; ++token) {
    for (uint32_t place = 0; place < places; ++place) {
      const uint32_t slot = place % kRing;
      BarrierWait(empty + 8 * slot, parity);
      if (place < stages) {
        BarrierExpect(full + 8 * slot, kStageBytes);
        BulkCopy(ring + slot * kStageBytes, memory.stages + size_t{place} * kStageBytes,
                 kStageBytes, full + 8 * slot);
      } else {
        BarrierArrive(full + 8 * slot);
      }
      if (slot == kRing - 1) parity ^= 1;
    }
  }
}

// A consumer warp's view of the ring. `place` counts stages within a layer or the head.
struct Stages {
  Shared& shared;
  bool first_lane;
  uint32_t parity;  // of the turn that holds place 0

  // Waits until the stage is there; its shared address.
  __device__ uint32_t Take(uint32_t place) const {
    const uint32_t slot = place % kRing;
    BarrierWait(SharedAddress(&shared.full[slot]), parity ^ (place / kRing & 1));
    return SharedAddress(shared.ring[slot]);
  }
  // The warp's products of the stage are over.
  __device__ void Return(uint32_t place) const {
    if (first_lane) BarrierArrive(SharedAddress(&shared.empty[place % kRing]));
  }
  // After the head's stages are returned.
  __device__ void FinishToken() {
#pragma unroll
    for (uint32_t place = kHeadStages; place < kRing; ++place) Return(place);
    parity ^= 1;
  }
};

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace hatchery::cuda

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/device_memory.h"

#if HATCHERY_HAS_CUDA
#include "kernels/cuda/cuda_replica.h"
#endif

namespace hatchery {

std::vector<DeviceMemory> MemoryOf([[maybe_unused]] const std::vector<int>& devices) {
  std::vector<DeviceMemory> memories;
#if HATCHERY_HAS_CUDA
  for (const int device : devices) {
    const StatusOr<DeviceMemory> memory = CudaMemory(device);
    if (memory.ok()) memories.push_back(*memory);
  }
#endif
  return memories;
}

}  // namespace hatchery

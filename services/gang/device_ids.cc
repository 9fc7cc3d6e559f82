// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/gang/device_ids.h"

#if HATCHERY_HAS_CUDA
#include <cuda_runtime_api.h>
#endif

#include <cstring>

namespace hatchery {
namespace {

DeviceId IdOf(int device) {
  DeviceId id = {};
  std::memcpy(id.data(), &device, sizeof(device));
#if HATCHERY_HAS_CUDA
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, device) == cudaSuccess)
    std::memcpy(id.data(), properties.uuid.bytes, sizeof(id));
  else
    cudaGetLastError();  // not a later call's error
#endif
  return id;
}

}  // namespace

std::vector<DeviceId> IdsOf(const std::vector<int>& devices) {
  std::vector<DeviceId> ids;
  for (const int device : devices) ids.push_back(IdOf(device));
  return ids;
}

}  // namespace hatchery

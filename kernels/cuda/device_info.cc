// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/device_info.h"

#include "kernels/cuda/cuda_replica.h"
#include "kernels/cuda/device.h"

namespace hatchery {
namespace {

CudaDeviceInfo ReadDevice(int device) {
  CudaDeviceInfo info;
  cudaDeviceProp properties;
  info.usable =
      cuda::FromCuda(cudaGetDeviceProperties(&properties, device), "read the device's properties");
  if (!info.usable.ok()) return info;
  info.name = properties.name;
  info.major = properties.major;
  info.minor = properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  size_t free = 0, total = 0;
  info.usable = cuda::FromCuda(cudaSetDevice(device), "take the device");
  if (info.usable.ok())
    info.usable = cuda::FromCuda(cudaMemGetInfo(&free, &total), "read the device's memory");
  info.free_bytes = free;
  info.total_bytes = total;
  return info;
}

}  // namespace

StatusOr<CudaInfo> ReadCudaInfo() {
  CudaInfo info;
  HATCHERY_RETURN_IF_ERROR(
      cuda::FromCuda(cudaDriverGetVersion(&info.driver_version), "read the driver's version"));
  HATCHERY_RETURN_IF_ERROR(
      cuda::FromCuda(cudaRuntimeGetVersion(&info.runtime_version), "read the runtime's version"));
  for (int device = 0; device < CudaDeviceCount(); ++device)
    info.devices.push_back(ReadDevice(device));
  return info;
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What CUDA says of this machine, for people.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/status.h"

namespace hatchery {

struct CudaDeviceInfo {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  uint64_t free_bytes = 0, total_bytes = 0;
  Status usable;  // an error if the device cannot be taken: busy, broken, not permitted
};

struct CudaInfo {
  // 12040 means 12.4. The driver's is the newest runtime that it can serve; 0: there is no driver.
  int driver_version = 0, runtime_version = 0;
  std::vector<CudaDeviceInfo> devices;  // that this process can see
};

// An error only if the runtime does not work at all.
StatusOr<CudaInfo> ReadCudaInfo();

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "kernels/device_memory.h"
#include "kernels/replica.h"

namespace hatchery {

// Which kernels evaluate and update. All are bit-identical.
enum class CudaKernels {
  kAuto,       // the fastest that fits the device and the model's shape
  kMma,        // those of Ampere and later where they fit the shape, for tests on newer devices
  kReference,  // simple kernels for every shape
};

struct CudaOptions {
  int device = 0;  // ordinal, [0, CudaDeviceCount())
  CudaKernels kernels = CudaKernels::kAuto;
  // Bytes of device memory that the replica may take; 0: all that is free. With less than it would
  // like it works in smaller chunks, to the same bytes; the kernels stay those that fit the shape,
  // and if one block of theirs does not fit, creation fails.
  uint64_t memory_limit = 0;
  // Tokens that one launch evaluates at most, but whole windows of at least one round (RoundPairs);
  // 0: what the device does within a moment. Tests make it small.
  uint32_t tokens_at_once = 0;
};

// CUDA devices that this process can use; 0 without a driver.
int CudaDeviceCount();

// OK if `device` is one of them; else kNotFound: how many there are, or why CUDA cannot tell.
Status CheckCudaDevice(int device);

// Memory of one of them. Thread-safe; opens the device if this process has not yet.
StatusOr<DeviceMemory> CudaMemory(int device);

// A replica at step 0 with initial weights, on one GPU. `data` may be empty for replay, digest and
// sampling; it is copied to the device. Errors: an invalid spec, data too short, no such device,
// too little device memory.
StatusOr<std::unique_ptr<Replica>> CreateCudaReplica(const JobSpec& spec, DataView data,
                                                     const CudaOptions& options = {});

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A device that runs the kernels on this processor, thread for thread, for tests.
#pragma once

#include <functional>
#include <memory>

#include "metal/device.h"

namespace shim {

struct DeviceSettings {
  uint32_t seed = 1;  // order of threads and contents of fresh memory
  uint32_t threadgroup_bytes = 32 << 10;
  uint64_t memory_bytes = uint64_t{1} << 30;
  bool wrong_products = false;  // stands for a GPU whose matrix units round
  bool dry = false;             // checks and counts what it is asked for, and computes nothing
  std::function<void(const hatchery::apple::Batch&)> before = {};  // told of each, before it runs
};

// What a device was asked to do.
struct Counts {
  uint64_t waits = 0, batches = 0, dispatches = 0, allocations = 0;
  uint64_t longest = 0;  // member tokens that a batch evaluated, of 1,024 members at least
};

// `counts`, if given, outlives the device.
std::unique_ptr<hatchery::apple::Device> MakeDevice(const DeviceSettings& settings = {},
                                                    Counts* counts = nullptr);

}  // namespace shim

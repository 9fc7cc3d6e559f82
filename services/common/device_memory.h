// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernels/device_memory.h"

namespace hatchery {

// Of those CUDA devices, which this process must be using already: asking is what opens a device.
// Thread-safe, and needs no replica. One that cannot be asked is left out.
std::vector<DeviceMemory> MemoryOf(const std::vector<int>& devices);

}  // namespace hatchery

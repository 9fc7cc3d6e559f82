// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hatchery {

// What a device has of memory of its own, all processes together.
struct DeviceMemory {
  int device = 0;
  uint64_t free_bytes = 0, size_bytes = 0;
};

}  // namespace hatchery

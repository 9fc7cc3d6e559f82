// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace hatchery {

// A CUDA device's UUID. Ordinals tell nothing from one process to another: a rank that was bound to
// a device calls it 0, whichever it is.
using DeviceId = std::array<uint8_t, 16>;

// Of these devices of this process, in this order. One that cannot be asked is known by its
// ordinal.
std::vector<DeviceId> IdsOf(const std::vector<int>& devices);

}  // namespace hatchery

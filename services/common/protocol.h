// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hatchery {

// The version of proto/hatchery/v1 that this code speaks. It changes when an old peer would
// misunderstand a new one; a coordinator refuses workers of another version at Hello.
inline constexpr uint32_t kProtocolVersion = 3;

}  // namespace hatchery

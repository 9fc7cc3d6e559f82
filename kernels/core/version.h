// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/core/platform.h"

namespace hatchery::core {

// The version of docs/contract.md that this code implements. It changes whenever any job would
// produce other bytes; coordinator, workers and journals refuse a version they do not implement.
HATCHERY_CONSTANT uint32_t kContractVersion = 1;

}  // namespace hatchery::core

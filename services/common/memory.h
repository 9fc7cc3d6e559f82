// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "kernels/status.h"

namespace hatchery {

// OK if `bytes` more fit into AvailableMemory (system.h); kResourceExhausted says what was asked
// for, with `what` ("a replica of the model"), and what there is.
Status CheckMemory(const std::string& what, uint64_t bytes);

// "950 bytes", "12.3 MB", "824.7 GB".
std::string FormatBytes(uint64_t bytes);

}  // namespace hatchery

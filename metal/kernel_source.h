// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace hatchery::apple {

// All kernels as one text, which Metal compiles: it resolves no #include of ours, so every header
// stands where it is first included.
std::string KernelSource();

}  // namespace hatchery::apple

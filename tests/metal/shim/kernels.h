// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The kernels of metal/kernels as functions of this program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace shim {

struct ThreadPosition {
  uint32_t group, thread;
};

struct Bindings {
  std::span<std::byte* const> buffers;
  const std::byte* arguments;
  std::byte* shared;
};

using KernelFunction = void (*)(const Bindings& bindings, ThreadPosition position);

struct KernelEntry {
  const char* name;
  size_t buffers, argument_bytes;
  KernelFunction function;
};

// All of them.
std::span<const KernelEntry> Kernels();

}  // namespace shim

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What Linux and macOS are asked in different ways: system_linux.cc, system_macos.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hatchery {

// Bytes that this process can still take without pushing others out: the machine's, or what is left
// of its control group's limit. UINT64_MAX if the system does not tell.
uint64_t AvailableMemory();

// What the system says of its processor, as Linux's /proc/cpuinfo writes it: "model name", "flags",
// "Features". Empty if it does not tell.
std::string CpuInfo();

struct MemoryUse {
  uint64_t address_space;  // bytes
  uint64_t resident;       // bytes
};
// This process's; nothing if the system does not tell.
std::optional<MemoryUse> OwnMemory();

// From now on the calling thread runs when no other wants the processor.
void YieldToOtherThreads();

}  // namespace hatchery

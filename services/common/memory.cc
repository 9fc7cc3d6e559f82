// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/memory.h"

#include <cstdio>
#include <iterator>

#include "services/common/system.h"

namespace hatchery {

Status CheckMemory(const std::string& what, uint64_t bytes) {
  const uint64_t available = AvailableMemory();
  if (bytes <= available) return {};
  return ResourceExhausted(what + " takes " + FormatBytes(bytes) + " of memory, and " +
                           FormatBytes(available) +
                           " are available; use a smaller model or a larger machine");
}

std::string FormatBytes(uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " bytes";
  static constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1e3;
  size_t unit = 0;
  for (; value >= 999.95 && unit + 1 < std::size(kUnits); ++unit) value /= 1e3;
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %s", value, kUnits[unit]);
  return text;
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/memory.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <optional>

namespace hatchery {
namespace {

// The number after `key` in a file of "key number" lines; the first number if `key` is empty.
std::optional<uint64_t> ReadNumber(const std::string& path, const std::string& key = "") {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    if (word != key && !key.empty()) continue;
    if (!key.empty()) file >> word;
    uint64_t value = 0;
    const char* end = word.data() + word.size();
    const auto [at, error] = std::from_chars(word.data(), end, value);
    if (error != std::errc() || at != end) return std::nullopt;  // "max": no limit
    return value;
  }
  return std::nullopt;
}

// What is left of the limit of our own control group (version 2), as a container sees it. Pages
// that only cache files do not count: the kernel gives them back.
uint64_t LeftInControlGroup() {
  const std::string group = "/sys/fs/cgroup/";
  const auto most = ReadNumber(group + "memory.max"), used = ReadNumber(group + "memory.current");
  if (!most || !used) return UINT64_MAX;
  const uint64_t cached = ReadNumber(group + "memory.stat", "inactive_file").value_or(0);
  const uint64_t kept = *used - std::min(*used, cached);
  return *most - std::min(*most, kept);
}

}  // namespace

uint64_t AvailableMemory() {
  const auto kilobytes = ReadNumber("/proc/meminfo", "MemAvailable:");
  return std::min(kilobytes ? *kilobytes * 1024 : UINT64_MAX, LeftInControlGroup());
}

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

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string>

#include "services/common/system.h"

namespace hatchery {
namespace {

constexpr int kLeastPriority = 19;

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

std::string CpuInfo() {
  std::ostringstream text;
  text << std::ifstream("/proc/cpuinfo").rdbuf();
  return text.str();
}

std::optional<MemoryUse> OwnMemory() {
  std::ifstream file("/proc/self/statm");  // in pages
  uint64_t size = 0, resident = 0;
  if (!(file >> size >> resident)) return std::nullopt;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return MemoryUse{size * page, resident * page};
}

// Linux keeps priorities by thread, and takes 0 for the calling one.
void YieldToOtherThreads() { setpriority(PRIO_PROCESS, 0, kLeastPriority); }

}  // namespace hatchery

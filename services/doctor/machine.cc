// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "services/common/backend.h"
#include "services/common/memory.h"
#include "services/common/system.h"
#include "services/doctor/checks.h"

namespace hatchery::doctor {
namespace {

constexpr uint64_t kLittleMemory = uint64_t{1} << 30;
constexpr rlim_t kFewFiles = 1024, kTooFewFiles = 64;

// The value of the first "key : value" line.
std::string Field(const std::string& cpuinfo, const std::string& key) {
  std::istringstream lines(cpuinfo);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == line.npos || !line.starts_with(key)) continue;
    const std::string name = line.substr(0, colon);
    if (name.find_first_not_of(" \t", key.size()) != name.npos) continue;
    const size_t value = line.find_first_not_of(' ', colon + 1);
    return value == line.npos ? "" : line.substr(value);
  }
  return "";
}

unsigned AllowedThreads() {
#if defined(__linux__)  // elsewhere a program is not bound to processors
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<unsigned>(CPU_COUNT(&set));
#endif
  return std::thread::hardware_concurrency();
}

// Of our control group (version 2), in processors; 0: none.
double Quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0, period = 0;
  return file >> quota >> period && period > 0 ? quota / period : 0;  // "max": not a number
}

// What the CPU backend says of itself.
std::string CpuBackend() {
  JobSpec probe;
  probe.hidden = 8;
  probe.layers = 1;
  const auto replica = CreateReplica(probe, {}, {.name = "cpu"});
  return replica.ok() ? (*replica)->Description() : replica.status().message();
}

}  // namespace

Check JudgeCpu(const std::string& cpuinfo, const std::string& backend) {
  const std::string model = Field(cpuinfo, "model name");
  std::istringstream words(Field(cpuinfo, "flags") + " " + Field(cpuinfo, "Features"));
  std::set<std::string> flags;
  for (std::string word; words >> word;) flags.insert(word);
  std::string sets;
  const auto add = [&](const char* flag, const char* name) {
    if (flags.contains(flag)) sets += std::string(sets.empty() ? "" : ", ") + name;
  };
  add("avx2", "AVX2");
  add("avx512f", "AVX-512");
  add("avx512_vnni", "AVX-512 VNNI");
  add("avx_vnni", "AVX-VNNI");
  add("asimd", "NEON");
  add("asimddp", "dot product");
  add("sve", "SVE");
  const std::string text = (model.empty() ? "" : model + "; ") +
                           (sets.empty() ? "no vector instructions known" : sets) + "; " + backend;
  const bool vnni = flags.contains("avx512_vnni") || flags.contains("avx_vnni");
  if (backend.find("portable") == backend.npos || flags.contains("asimd"))
    return {Verdict::kOk, "cpu", text};
  return {Verdict::kWarn, "cpu", text,
          vnni ? "this build has no oneDNN, which is several times as fast here; install "
                 "libdnnl-dev (scripts/setup) and build again"
               : "without VNNI the exact int8 products are several times slower; prefer a "
                 "processor that has it, or a GPU"};
}

Check JudgeCores(unsigned hardware_threads, unsigned allowed, double quota) {
  char text[160];
  std::snprintf(text, sizeof text, "%u hardware threads, %u of them for this process",
                hardware_threads, allowed);
  std::string found = text;
  if (quota > 0) {
    std::snprintf(text, sizeof text, ", a quota of %.1f", quota);
    found += text;
  }
  if (quota > 0 && quota < 0.95 * allowed)
    return {Verdict::kWarn, "cores", found,
            "more threads than that only wait for each other: give --threads " +
                std::to_string(std::max(1, static_cast<int>(std::floor(quota)))) +
                ", or raise the container's limit"};
  if (allowed < hardware_threads)
    return {Verdict::kWarn, "cores", found,
            "start it without taskset, or under mpirun with --bind-to none, to use all"};
  return {Verdict::kOk, "cores", found};
}

Checks CheckCpu() {
  return {JudgeCpu(CpuInfo(), CpuBackend()),
          JudgeCores(std::thread::hardware_concurrency(), AllowedThreads(), Quota())};
}

Checks CheckMemory() {
  const uint64_t available = AvailableMemory();
  if (available == UINT64_MAX)
    return {{Verdict::kWarn, "memory", "the system does not tell how much there is",
             "mount /proc, so that too large a model is refused before it is begun"}};
  const std::string text = FormatBytes(available) + " available";
  if (available >= kLittleMemory) return {{Verdict::kOk, "memory", text}};
  return {{Verdict::kWarn, "memory", text,
           "stop other programs or raise the container's limit; hatchery describe JOB tells what "
           "a job takes"}};
}

Checks CheckLimits() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  const std::string text = std::to_string(limit.rlim_cur) + " open files, at most " +
                           std::to_string(limit.rlim_max) +
                           "; a coordinator takes one a worker and client";
  const std::string remedy = "raise it: ulimit -n 65536, or LimitNOFILE= of the service";
  if (limit.rlim_cur < kTooFewFiles) return {{Verdict::kBad, "limits", text, remedy}};
  if (limit.rlim_cur < kFewFiles) return {{Verdict::kWarn, "limits", text, remedy}};
  return {{Verdict::kOk, "limits", text}};
}

}  // namespace hatchery::doctor

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/disk.h"

#include <sys/statvfs.h>
#if defined(__linux__)
#include <sys/vfs.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "services/common/memory.h"
#include "services/doctor/checks.h"

namespace hatchery::doctor {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kLittleSpace = uint64_t{1} << 30, kTooLittleSpace = uint64_t{16} << 20;
constexpr size_t kWritten = size_t{8} << 20;
constexpr size_t kRecord = 4096;  // of a journal, about, at a population of 40,000
constexpr int kSyncs = 20;
constexpr double kSlowSync = 0.02;  // seconds

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Check Broken(const std::string& directory, const Status& why) {
  return {Verdict::kBad, "disk " + directory, why.message(),
          "make it writable for this user, or name another with --dir"};
}

// Whether what is written there is lost when the machine stops; macOS has no such file system.
bool IsInMemory([[maybe_unused]] const std::string& directory) {
#if defined(__linux__)
  constexpr long kTmpfs = 0x01021994;
  struct statfs kind = {};
  return statfs(directory.c_str(), &kind) == 0 && kind.f_type == kTmpfs;
#else
  return false;
#endif
}

struct Measured {
  double bytes_per_second, median_sync, longest_sync;
};

// What a journal asks of a disk, on a file that is removed again.
StatusOr<Measured> Measure(const std::string& path) {
  Disk& disk = PosixDisk();
  HATCHERY_RETURN_IF_ERROR(disk.WriteAtomically(path, ""));
  HATCHERY_ASSIGN_OR_RETURN(const auto file, disk.OpenAppend(path));
  const auto begin = Clock::now();
  HATCHERY_RETURN_IF_ERROR(file->Append(std::string(kWritten, 'h')));
  HATCHERY_RETURN_IF_ERROR(file->Sync());
  Measured measured{static_cast<double>(kWritten) / SecondsSince(begin), 0, 0};
  std::vector<double> syncs;
  for (int i = 0; i < kSyncs; ++i) {
    HATCHERY_RETURN_IF_ERROR(file->Append(std::string(kRecord, 'h')));
    const auto start = Clock::now();
    HATCHERY_RETURN_IF_ERROR(file->Sync());
    syncs.push_back(SecondsSince(start));
  }
  std::sort(syncs.begin(), syncs.end());
  measured.median_sync = syncs[syncs.size() / 2];
  measured.longest_sync = syncs.back();
  return measured;
}

}  // namespace

Check JudgeFreeSpace(const std::string& directory, uint64_t free_bytes) {
  const std::string what = "space " + directory, text = FormatBytes(free_bytes) + " free";
  const std::string remedy =
      "free some, or name a directory of another disk; hatchery describe JOB tells what a run "
      "takes";
  if (free_bytes < kTooLittleSpace) return {Verdict::kBad, what, text, remedy};
  if (free_bytes < kLittleSpace) return {Verdict::kWarn, what, text, remedy};
  return {Verdict::kOk, what, text};
}

Check JudgeSync(const std::string& directory, double median_seconds, double longest_seconds) {
  char text[96];
  std::snprintf(text, sizeof text, "an fsync takes %.1f ms, %.1f ms at the longest",
                median_seconds * 1e3, longest_seconds * 1e3);
  const std::string what = "fsync " + directory;
  if (median_seconds <= kSlowSync) return {Verdict::kOk, what, text};
  return {Verdict::kWarn, what, text, "every step waits for one: keep journals on a local SSD"};
}

Checks CheckDisk(const std::string& directory) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error))
    return {{Verdict::kBad, "disk " + directory, "there is no such directory",
             "create it, or name another with --dir"}};
  struct statvfs space = {};
  if (statvfs(directory.c_str(), &space) != 0)
    return {Broken(directory, Unavailable("the system does not tell its free space"))};
  Checks checks = {JudgeFreeSpace(directory, uint64_t{space.f_bavail} * space.f_frsize)};
  if (checks[0].verdict == Verdict::kBad) return checks;
  const std::string path =
      directory + "/.hatchery-doctor-" + std::to_string(static_cast<long>(getpid()));
  const StatusOr<Measured> measured = Measure(path);
  (void)PosixDisk().Remove(path);
  if (!measured.ok()) {
    checks.push_back(Broken(directory, measured.status()));
    return checks;
  }
  const bool memory = IsInMemory(directory);
  const std::string speed =
      "writes " + FormatBytes(static_cast<uint64_t>(measured->bytes_per_second)) + " a second";
  if (memory)
    checks.push_back({Verdict::kWarn, "disk " + directory, speed + ", in memory",
                      "a restart of the machine loses all of it: keep runs on a disk"});
  else
    checks.push_back({Verdict::kOk, "disk " + directory, speed});
  checks.push_back(JudgeSync(directory, measured->median_sync, measured->longest_sync));
  return checks;
}

}  // namespace hatchery::doctor

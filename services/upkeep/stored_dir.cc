// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/upkeep/stored_dir.h"

#include <filesystem>

#include "services/common/run_dir.h"

namespace hatchery {
namespace {

// The data directory that `directory` is a job of, if it is one.
std::string DataDirAround(Disk& disk, const std::string& directory) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path job = fs::weakly_canonical(directory, ignored);
  const fs::path data_dir = job.parent_path().parent_path();
  const bool inside = job.parent_path().filename() == "jobs" &&
                      disk.Exists((data_dir / "catalogue.sqlite").string());
  return inside ? data_dir.string() : "";
}

void Take(Disk& disk, const std::string& directory, const std::string& who, bool create,
          DirectoryLocks& locks) {
  if (!locks.in_use.ok() || (!create && !disk.Exists(directory + "/lock"))) return;
  auto lock = disk.Lock(directory, who);
  if (lock.ok())
    locks.held.push_back(std::move(*lock));
  else
    locks.in_use = lock.status();
}

}  // namespace

std::string DirectoryName(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

StatusOr<StoredDir> KindOf(Disk& disk, const std::string& directory) {
  if (disk.Exists(directory + "/jobs") || disk.Exists(directory + "/catalogue.sqlite"))
    return StoredDir::kDataDir;
  if (RunDir(disk, directory).HasJournal() || disk.Exists(directory + "/checkpoints"))
    return StoredDir::kRun;
  if (!disk.Exists(directory)) return NotFound("there is no directory " + directory);
  return InvalidArgument(directory +
                         " holds neither a run (journal.hatchery) nor a coordinator's data (jobs/);"
                         " name one that hatchery or hatchery-coordinator wrote");
}

DirectoryLocks TakeLocks(Disk& disk, const std::string& directory, StoredDir kind, bool create) {
  DirectoryLocks locks;
  if (kind == StoredDir::kDataDir) {
    Take(disk, directory, "coordinator", create, locks);
    return locks;
  }
  if (const std::string data_dir = DataDirAround(disk, directory); !data_dir.empty())
    Take(disk, data_dir, "coordinator", create, locks);
  Take(disk, directory, "trainer", create, locks);
  return locks;
}

}  // namespace hatchery

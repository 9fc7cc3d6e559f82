// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "services/common/disk.h"

namespace hatchery {

// The path without slashes at its end: names are made of it by appending.
std::string DirectoryName(std::string path);

enum class StoredDir {
  kRun,      // of `hatchery train` or `hatchery fetch`, or one job's of a coordinator
  kDataDir,  // a coordinator's
};
// What `directory` is; kInvalidArgument if it is neither.
StatusOr<StoredDir> KindOf(Disk& disk, const std::string& directory);

// The locks that keep trainers and coordinators out of a directory. A job's directory within a
// coordinator's is kept by the coordinator's lock too.
struct DirectoryLocks {
  std::vector<std::unique_ptr<DirectoryLock>> held;
  Status in_use;  // whose it is, if not ours
};
// Takes them, creating lock files only if `create`: without, a directory that was never locked
// stays as it is.
DirectoryLocks TakeLocks(Disk& disk, const std::string& directory, StoredDir kind, bool create);

}  // namespace hatchery

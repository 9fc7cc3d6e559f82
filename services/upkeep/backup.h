// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A consistent copy of a run, or of all that a coordinator stores, also while it is written.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "kernels/status.h"
#include "services/common/disk.h"

namespace hatchery {

struct CopiedFile {
  std::string path;  // within the directory that is copied
  uint64_t bytes = 0;
  std::string text;  // what it holds, or why it was left out; one line
  bool left_out = false;
};

struct BackupResult {
  uint64_t files = 0, bytes = 0, jobs = 0, left_out = 0;
};

// Copies the directory `source` to the new one `target`, which appears, checked by Fsck, whole or
// not at all. A journal is copied to the end of its last whole record, each record verified on the
// way; one that is damaged ends the backup (kDataLoss). A damaged checkpoint is left out: the
// journal makes it again. The copy is a directory of the same kind: a coordinator or trainer goes
// on from it.
StatusOr<BackupResult> Backup(Disk& disk, const std::string& source, const std::string& target,
                              const std::function<void(const CopiedFile&)>& on_file);

}  // namespace hatchery

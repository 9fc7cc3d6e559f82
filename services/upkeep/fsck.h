// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The check of a stored run, or of all that a coordinator stores.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/status.h"
#include "services/common/disk.h"
#include "services/common/file_report.h"
#include "services/common/run_check.h"

namespace hatchery {

struct FsckOptions {
  bool repair = false;
  ReplicaMaker new_replica;  // null: no replay, the structure only
  ReportSink on_file;        // called for every file; may be empty
};

struct FsckResult {
  uint64_t files = 0, leftover = 0, repaired = 0, damaged = 0;
  std::string in_use;  // by whom, in one line; empty if by nobody
  bool healthy() const { return damaged == 0; }
};

// Checks the directory `path`; an error means that it could not be checked. While somebody uses it
// nothing is changed: repair is refused (kFailedPrecondition), and what is being written is no
// damage.
StatusOr<FsckResult> Fsck(Disk& disk, const std::string& path, const FsckOptions& options);

}  // namespace hatchery

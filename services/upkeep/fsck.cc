// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/upkeep/fsck.h"

#include "services/upkeep/data_dir_check.h"
#include "services/upkeep/stored_dir.h"

namespace hatchery {

StatusOr<FsckResult> Fsck(Disk& disk, const std::string& path, const FsckOptions& options) {
  const std::string directory = DirectoryName(path);
  HATCHERY_ASSIGN_OR_RETURN(const StoredDir kind, KindOf(disk, directory));
  const DirectoryLocks locks = TakeLocks(disk, directory, kind, options.repair);
  if (options.repair && !locks.in_use.ok())
    return FailedPrecondition("nothing was repaired: " + locks.in_use.message());

  FsckResult result;
  if (!locks.in_use.ok()) result.in_use = locks.in_use.message();
  const ReportSink report = [&](const FileReport& file) {
    ++result.files;
    result.leftover += file.state == FileReport::State::kLeftover;
    result.repaired += file.state == FileReport::State::kRepaired;
    result.damaged += file.state == FileReport::State::kDamaged;
    if (options.on_file) options.on_file(file);
  };
  RunCheckOptions run;
  run.repair = options.repair;
  run.in_use = !locks.in_use.ok();
  run.new_replica = options.new_replica;
  if (kind == StoredDir::kRun)
    HATCHERY_RETURN_IF_ERROR(RunCheck(disk, RunDir(disk, directory), run, report).Check());
  else
    HATCHERY_RETURN_IF_ERROR(CheckDataDir(disk, directory, run, report));
  return result;
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/model_file.h"

#include <filesystem>

#include "services/common/job.h"
#include "services/common/run_dir.h"

namespace hatchery {

StatusOr<ModelFile> ReadModel(const std::string& directory_or_file) {
  Disk& disk = PosixDisk();
  ModelFile model;
  model.path = directory_or_file;
  std::error_code ignored;
  if (std::filesystem::is_directory(directory_or_file, ignored)) {
    const RunDir run(disk, directory_or_file);
    HATCHERY_ASSIGN_OR_RETURN(const std::optional<uint32_t> step, run.NewestCheckpoint());
    if (!step)
      return NotFound(directory_or_file +
                      " holds no checkpoint; rebuild one with: hatchery replay " +
                      directory_or_file + " --at STEP --out FILE");
    model.path = run.checkpoint_path(*step);
  }
  HATCHERY_ASSIGN_OR_RETURN(model.checkpoint, ReadCheckpoint(disk, model.path));
  return model;
}

StatusOr<std::unique_ptr<Replica>> LoadModel(const Checkpoint& checkpoint,
                                             const BackendOptions& backend,
                                             std::span<const uint8_t> held_out, uint32_t streams) {
  HATCHERY_ASSIGN_OR_RETURN(JobSpec spec, SpecFromJob(checkpoint.job));
  spec.held_out_streams = streams;
  HATCHERY_ASSIGN_OR_RETURN(auto replica, CreateReplica(spec, DataView{{}, held_out}, backend));
  HATCHERY_RETURN_IF_ERROR(replica->Restore(checkpoint.step, checkpoint.weights));
  return replica;
}

}  // namespace hatchery

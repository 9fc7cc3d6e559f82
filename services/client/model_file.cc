// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/model_file.h"

#include <filesystem>

#include "services/common/job.h"
#include "services/common/run_dir.h"

namespace hatchery {
namespace {

// Adds the remedy to the error of reading `path`, where `given` is what the user named.
Status Explain(const Status& error, const std::string& given, const std::string& path) {
  if (error.code() == StatusCode::kNotFound)
    return NotFound(error.message() + "; give a run's directory or a checkpoint file");
  if (error.code() != StatusCode::kDataLoss) return error;
  return DataLoss(error.message() +
                  "; rebuild the weights from the run's journal: hatchery replay " +
                  (given == path ? "DIR" : given) + " --at STEP --out FILE");
}

}  // namespace

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
    auto stored = run.Read(*step);
    if (!stored.ok()) return Explain(stored.status(), directory_or_file, model.path);
    model.checkpoint = std::move(stored->checkpoint);
    return model;
  }
  auto checkpoint = ReadCheckpoint(disk, model.path);
  if (!checkpoint.ok()) return Explain(checkpoint.status(), directory_or_file, model.path);
  model.checkpoint = std::move(*checkpoint);
  return model;
}

Status CheckFits(const ModelFile& model, const v1::Job& job) {
  const v1::Model &theirs = model.checkpoint.job.model(), &ours = job.model();
  if (theirs.hidden() == ours.hidden() && theirs.layers() == ours.layers()) return {};
  return InvalidArgument(model.path + " holds a model of " + std::to_string(theirs.layers()) +
                         " layers x " + std::to_string(theirs.hidden()) + "; the job's has " +
                         std::to_string(ours.layers()) + " x " + std::to_string(ours.hidden()) +
                         "; start from another or set model.layers and model.hidden to fit");
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

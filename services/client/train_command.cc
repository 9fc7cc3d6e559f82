// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>

#include "services/client/command.h"
#include "services/client/job_file.h"
#include "services/client/model_file.h"
#include "services/client/stop_on_signal.h"
#include "services/client/train_progress.h"
#include "services/common/cli_error.h"
#include "services/common/job.h"
#include "services/common/sha256.h"
#include "services/gang/gang.h"
#include "services/trainer/trainer.h"

namespace hatchery {
namespace {

struct Options {
  std::string job, out, data, init_from;
  std::vector<std::string> sets;
  std::optional<uint32_t> steps, population;
  bool json = false;
  BackendOptions backend;
};

StatusOr<PreparedJob> Prepare(const Options& options) {
  std::vector<std::string> sets = options.sets;
  if (options.steps) sets.push_back("steps=" + std::to_string(*options.steps));
  if (options.population) sets.push_back("population=" + std::to_string(*options.population));
  HATCHERY_ASSIGN_OR_RETURN(JobFile file, ReadJobFile(options.job, sets));
  return PrepareJob(std::move(file), options.data);
}

// Makes the job start from the weights of `model`, which the run keeps a copy of.
Status StartFrom(const std::string& model, const RunDir& run, v1::Job& job) {
  HATCHERY_ASSIGN_OR_RETURN(const ModelFile start, ReadModel(model));
  HATCHERY_RETURN_IF_ERROR(CheckFits(start, job));
  HATCHERY_ASSIGN_OR_RETURN(const std::string bytes, ReadWholeFile(PosixDisk(), start.path));
  job.set_initial_digest(FormatDigest(start.checkpoint.digest));
  job.set_initial_sha256(ToHex(Sha256Of(bytes)));
  if (run.HasJournal()) return {};
  HATCHERY_RETURN_IF_ERROR(run.Create());
  return PosixDisk().WriteAtomically(run.initial_path(), bytes);
}

Status Train(const Options& options) {
  const StopOnSignal signals;
  HATCHERY_ASSIGN_OR_RETURN(const auto gang, Gang::Join(options.backend));
  if (gang && gang->rank() != 0) {
    gang->Follow();
    return {};
  }
  const ReplicaFactory create = gang ? gang->Factory() : FactoryOf(options.backend);
  HATCHERY_ASSIGN_OR_RETURN(PreparedJob prepared, Prepare(options));
  const RunDir run(PosixDisk(), options.out);
  if (!options.init_from.empty())
    HATCHERY_RETURN_IF_ERROR(StartFrom(options.init_from, run, prepared.job));
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(prepared.job));
  HATCHERY_ASSIGN_OR_RETURN(const Dataset dataset,
                            Dataset::Open(prepared.job, prepared.train, prepared.held_out));
  HATCHERY_ASSIGN_OR_RETURN(auto replica, create(spec, dataset.view()));

  TrainProgress progress(prepared.job.steps(), options.json);
  TrainerOptions hooks;
  hooks.measure_update_rate = options.json;
  hooks.on_step = [&](const StepReport& report) { progress.Show(report); };
  hooks.on_note = [&](const std::string& text) { progress.Note(text); };
  HATCHERY_ASSIGN_OR_RETURN(auto trainer, Trainer::Open(PosixDisk(), options.out, prepared.job,
                                                        *replica, hooks, signals.token()));
  progress.Note("training on " + replica->Description());
  const Status status = trainer->Run(signals.token());
  progress.EndLine();
  HATCHERY_RETURN_IF_ERROR(status);
  HATCHERY_ASSIGN_OR_RETURN(const core::Digest digest, replica->DigestOfAll());
  if (!options.json)
    std::printf("%s  step %u  %s\n", FormatDigest(digest).c_str(), trainer->step(),
                run.checkpoint_path(trainer->step()).c_str());
  return {};
}

}  // namespace

void AddTrainCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "train", "Train a job in this process; run again on the same directory, it goes on");
  auto options = std::make_shared<Options>();
  command->add_option("JOB", options->job, "Job file (YAML)")->required();
  command->add_option("--out", options->out, "Directory of the run: journal and checkpoints")
      ->required();
  command->add_option("--data", options->data, "Training text, in place of the job's data.file");
  AddSetOption(*command, options->sets);
  command->add_option("--steps", options->steps, "Short for --set steps=N")
      ->check(WholeNumber(0, 0x7FFFFFFF));
  command->add_option("--population", options->population, "Short for --set population=N")
      ->check(WholeNumber(2, 1u << 24));
  command->add_option("--init-from", options->init_from,
                      "Start from these weights: a run's directory or a checkpoint file");
  AddBackendOptions(*command, options->backend);
  command->add_flag("--json", options->json, "One JSON object a step");
  SetAction(command, [options] { return Train(*options); });
}

}  // namespace hatchery

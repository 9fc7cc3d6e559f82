// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "services/client/command.h"
#include "services/common/backend.h"
#include "services/common/cli_error.h"
#include "services/common/counted.h"
#include "services/common/job.h"
#include "services/common/replay.h"
#include "services/common/run_dir.h"

namespace hatchery {
namespace {

struct Options {
  std::string directory, out;
  std::optional<uint32_t> at;
  bool verify = false, json = false;
  BackendOptions backend;
};

// Digests of the run's stored checkpoints by step, each checked against its own weights and the
// journal's job.
StatusOr<std::map<uint32_t, core::Digest>> StoredDigests(const RunDir& run, const v1::Job& job) {
  std::map<uint32_t, core::Digest> digests;
  HATCHERY_ASSIGN_OR_RETURN(const auto steps, run.Checkpoints());
  for (const uint32_t step : steps) {
    const auto stored = run.Read(step);
    Status sound = stored.status();
    if (sound.ok() && !CheckSameRun(job, stored->checkpoint.job).ok())
      sound = DataLoss(run.checkpoint_path(step) + " is of another job than the journal");
    if (!sound.ok())
      return Status(sound.code(), sound.message() + "; write it anew from the journal: hatchery " +
                                      "replay " + run.path() + " --at " + std::to_string(step) +
                                      " --out " + run.checkpoint_path(step));
    digests[step] = stored->checkpoint.digest;
  }
  return digests;
}

Status CompareStored(const RunDir& run, const std::map<uint32_t, core::Digest>& stored,
                     uint32_t step, core::Digest digest) {
  const auto found = stored.find(step);
  if (found == stored.end() || found->second == digest) return {};
  return DataLoss(run.checkpoint_path(step) + " has digest " + FormatDigest(found->second) +
                  ", but the journal's replay has " + FormatDigest(digest));
}

void Print(const Options& options, const JournalReader& journal, const ReplayResult& result,
           size_t checkpoints) {
  const std::string digest = FormatDigest(result.digest);
  if (options.json) {
    const nlohmann::ordered_json line = {{"step", result.step},
                                         {"digest", digest},
                                         {"digests_compared", result.compared},
                                         {"checkpoints_compared", checkpoints},
                                         {"closed", result.closing.has_value()}};
    std::printf("%s\n", line.dump().c_str());
    return;
  }
  std::printf("%s  step %u  %s\n", digest.c_str(), result.step, journal.path().c_str());
  std::printf("verified: %s of the journal and %s agree with the replay\n",
              Counted(result.compared, "digest").c_str(),
              Counted(checkpoints, "checkpoint").c_str());
  if (!result.closing && !options.at)
    std::printf("the run is not finished: the journal has no closing record\n");
}

// OK if the weights may go to options.out: not over a file of a run, but for the checkpoint of that
// very step, and not over anything else that is no checkpoint.
Status CheckOut(const Options& options, const RunDir& run) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path out = fs::weakly_canonical(options.out, error);
  const fs::path directory = out.parent_path();
  const auto is_run = [&](const fs::path& path) {
    return fs::exists(path / "journal.hatchery", error);
  };
  const Status refused =
      AlreadyExists(options.out + " belongs to a run; give another file by --out");
  if (directory.filename() == "checkpoints" && is_run(directory.parent_path())) {
    const bool same_step =
        options.at && out == fs::weakly_canonical(run.checkpoint_path(*options.at), error);
    return same_step ? Status() : refused;
  }
  const std::string name = out.filename().string();
  if (is_run(directory) &&
      (name == "journal.hatchery" || name == "initial.safetensors" || name == "lock"))
    return refused;
  if (!fs::exists(out, error) || ReadCheckpoint(PosixDisk(), options.out).ok()) return {};
  return AlreadyExists(
      options.out + " is there and is not a checkpoint; give another file by --out or remove it");
}

Status Write(const Options& options, const v1::Job& job, Replica& replica) {
  HATCHERY_ASSIGN_OR_RETURN(const auto weights, replica.Snapshot());
  return PosixDisk().WriteAtomically(options.out, EncodeCheckpoint(job, replica.step(), weights));
}

Status RunReplay(const Options& options) {
  if (options.at && options.out.empty())
    return InvalidArgument("--at needs --out FILE, where the weights of that step go");
  const RunDir run(PosixDisk(), options.directory);
  if (!options.out.empty()) HATCHERY_RETURN_IF_ERROR(CheckOut(options, run));
  HATCHERY_ASSIGN_OR_RETURN(auto journal, JournalReader::Open(PosixDisk(), run.journal_path()));
  const v1::Job& job = journal->header().job;
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  HATCHERY_ASSIGN_OR_RETURN(auto replica, CreateReplica(spec, {}, options.backend));
  HATCHERY_RETURN_IF_ERROR(RestoreInitial(PosixDisk(), run, job, *replica));

  std::map<uint32_t, core::Digest> stored;
  if (!options.at) {
    HATCHERY_ASSIGN_OR_RETURN(stored, StoredDigests(run, job));
  }
  ReplayOptions replay;
  replay.until_step = options.at.value_or(UINT32_MAX);
  replay.on_digest = [&](uint32_t step, core::Digest digest) {
    return CompareStored(run, stored, step, digest);
  };
  HATCHERY_ASSIGN_OR_RETURN(const ReplayResult result, Replay(*journal, *replica, replay));
  if (!options.out.empty()) HATCHERY_RETURN_IF_ERROR(Write(options, job, *replica));
  HATCHERY_RETURN_IF_ERROR(CompareStored(run, stored, result.step, result.digest));
  if (!stored.empty() && stored.rbegin()->first > result.step)
    return DataLoss(journal->path() + " has lost its end: it goes to step " +
                    std::to_string(result.step) + ", and there is " +
                    run.checkpoint_path(stored.rbegin()->first) +
                    "; restore the journal from a copy, or train on: it is done anew from there");
  if (result.torn_tail)
    return DataLoss(journal->path() + " is cut short: an incomplete record of " +
                    std::to_string(journal->torn_bytes()) + " bytes follows step " +
                    std::to_string(result.step) + "; up to there every digest agrees");
  Print(options, *journal, result, stored.size());
  return {};
}

}  // namespace

void AddReplayCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "replay", "Rebuild a run's weights from its journal alone, comparing every digest");
  auto options = std::make_shared<Options>();
  command->add_option("DIR", options->directory, "Directory of the run")->required();
  command->add_flag("--verify", options->verify,
                    "To the end, comparing the stored checkpoints too (the default)");
  command->add_option("--at", options->at, "Stop at this step")
      ->check(WholeNumber(0, 0x7FFFFFFF))
      ->excludes("--verify");
  command->add_option("--out", options->out,
                      "Write the weights reached as a checkpoint file; never over a file of a run");
  AddBackendOptions(*command, options->backend);
  command->add_flag("--json", options->json, "One JSON object");
  SetAction(command, [options] { return RunReplay(*options); });
}

}  // namespace hatchery

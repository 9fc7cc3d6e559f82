// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "services/client/command.h"
#include "services/common/backend.h"
#include "services/common/counted.h"
#include "services/upkeep/fsck.h"

namespace hatchery {
namespace {

struct Options {
  std::string directory;
  bool repair = false, deep = false, json = false;
  BackendOptions backend{"cpu", 0};
};

const char* NameOf(FileReport::State state) {
  switch (state) {
    case FileReport::State::kOk:
      return "ok";
    case FileReport::State::kLeftover:
      return "leftover";
    case FileReport::State::kRepaired:
      return "repaired";
    case FileReport::State::kDamaged:
      return "damaged";
  }
  return "";
}

void Show(const FileReport& file, bool json) {
  if (!json) {
    std::printf("%-8s  %s: %s\n", NameOf(file.state), file.path.c_str(), file.text.c_str());
    return;
  }
  nlohmann::ordered_json line = {
      {"file", file.path}, {"state", NameOf(file.state)}, {"text", file.text}};
  if (file.byte) line["byte"] = *file.byte;
  if (file.step) line["step"] = *file.step;
  std::printf("%s\n", line.dump().c_str());
}

void ShowEnd(const Options& options, const FsckResult& result) {
  if (options.json) {
    const nlohmann::ordered_json line = {
        {"directory", options.directory}, {"healthy", result.healthy()},
        {"files", result.files},          {"leftover", result.leftover},
        {"repaired", result.repaired},    {"damaged", result.damaged},
        {"replayed", options.deep},       {"in_use", !result.in_use.empty()}};
    std::printf("%s\n", line.dump().c_str());
    return;
  }
  if (!result.in_use.empty())
    std::printf("in use    a program writes there now: what is unfinished is no damage\n");
  std::printf("%s: %llu damaged, %llu repaired, %llu leftover\n",
              Counted(result.files, "file").c_str(),
              static_cast<unsigned long long>(result.damaged),
              static_cast<unsigned long long>(result.repaired),
              static_cast<unsigned long long>(result.leftover));
}

Status RunFsck(const Options& options) {
  FsckOptions fsck;
  fsck.repair = options.repair;
  fsck.on_file = [&](const FileReport& file) { Show(file, options.json); };
  if (options.deep)
    fsck.new_replica = [&](const JobSpec& spec) {
      return CreateReplica(spec, {}, options.backend);
    };
  HATCHERY_ASSIGN_OR_RETURN(const FsckResult result, Fsck(PosixDisk(), options.directory, fsck));
  ShowEnd(options, result);
  if (result.healthy()) return {};
  return DataLoss(options.directory + " has " + Counted(result.damaged, "damaged file") + "; " +
                  (options.repair ? "what is left cannot be repaired from here"
                                  : "hatchery fsck " + options.directory +
                                        " --repair repairs what can be, and destroys nothing"));
}

}  // namespace

void AddFsckCommand(CLI::App& app) {
  auto* command =
      app.add_subcommand("fsck", "Check every file of a run, or of a coordinator's data directory");
  auto options = std::make_shared<Options>();
  command->add_option("DIR", options->directory, "Directory of a run or of a coordinator")
      ->required();
  command->add_flag("--repair", options->repair,
                    "Cut journals to the last provable commit, move broken files aside");
  command->add_flag("--deep", options->deep, "Prove every digest by replaying the commits");
  command->add_option("--backend", options->backend.name, "For --deep: auto, cpu, cuda or metal")
      ->capture_default_str();
  AddThreadsOption(*command, options->backend);
  command->add_flag("--json", options->json, "One JSON object a file, then one for all");
  SetAction(command, [options] { return RunFsck(*options); });
}

}  // namespace hatchery

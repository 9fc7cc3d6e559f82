// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "services/client/command.h"
#include "services/common/counted.h"
#include "services/upkeep/backup.h"

namespace hatchery {
namespace {

struct Options {
  std::string directory, out;
  bool json = false;
};

void Show(const CopiedFile& file, bool json) {
  if (json) {
    const nlohmann::ordered_json line = {{"file", file.path},
                                         {"bytes", file.bytes},
                                         {"left_out", file.left_out},
                                         {"text", file.text}};
    std::printf("%s\n", line.dump().c_str());
  } else {
    std::printf("%-8s  %s: %llu bytes, %s\n", file.left_out ? "left out" : "copied",
                file.path.c_str(), static_cast<unsigned long long>(file.bytes), file.text.c_str());
  }
}

Status RunBackup(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(const BackupResult result,
                            Backup(PosixDisk(), options.directory, options.out,
                                   [&](const CopiedFile& file) { Show(file, options.json); }));
  if (options.json) {
    const nlohmann::ordered_json line = {{"directory", options.directory},
                                         {"out", options.out},
                                         {"jobs", result.jobs},
                                         {"files", result.files},
                                         {"bytes", result.bytes},
                                         {"left_out", result.left_out},
                                         {"verified", true}};
    std::printf("%s\n", line.dump().c_str());
    return {};
  }
  std::printf("%s: %s in %s, %llu bytes, verified\n", options.out.c_str(),
              Counted(result.jobs, "run").c_str(), Counted(result.files, "file").c_str(),
              static_cast<unsigned long long>(result.bytes));
  return {};
}

}  // namespace

void AddBackupCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "backup", "Copy a run, or all of a coordinator's, also while it is written");
  auto options = std::make_shared<Options>();
  command->add_option("DIR", options->directory, "Directory of a run or of a coordinator")
      ->required();
  command->add_option("--out", options->out, "The copy: a directory that does not exist yet")
      ->required();
  command->add_flag("--json", options->json, "One JSON object a file, then one for all");
  SetAction(command, [options] { return RunBackup(*options); });
}

}  // namespace hatchery

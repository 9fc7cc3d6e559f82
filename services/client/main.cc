// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>

#include "services/client/command.h"

namespace hatchery {

void SetAction(CLI::App* subcommand, std::function<Status()> action) {
  subcommand->callback([action = std::move(action)] {
    const Status status = action();
    std::fflush(stdout);
    if (status.ok()) return;
    std::fprintf(stderr, "hatchery: %s\n", status.message().c_str());
    throw CLI::RuntimeError(1);
  });
}

void AddBackendOptions(CLI::App& command, BackendOptions& options) {
  command.add_option("--backend", options.name, "auto, cpu or cuda");
  command.add_option("--threads", options.threads, "CPU threads; 0: all");
  command.add_option("--devices", options.devices, "CUDA devices, as in 0,1; all unless given");
}

}  // namespace hatchery

int main(int argc, char** argv) {
  CLI::App app("Trains neural networks by evolution strategies, exactly: same job, same bytes.",
               "hatchery");
  app.set_version_flag("--version", "hatchery " HATCHERY_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);

  hatchery::AddDescribeCommand(app);
  hatchery::AddTrainCommand(app);
  hatchery::AddEvalCommand(app);
  hatchery::AddSampleCommand(app);
  hatchery::AddReplayCommand(app);
  hatchery::AddAuditCommand(app);
  hatchery::AddFsckCommand(app);
  hatchery::AddBackupCommand(app);
  hatchery::AddDigestCommand(app);
  hatchery::AddDataCommand(app);
  hatchery::AddSubmitCommand(app);
  hatchery::AddOnlineCommands(app);

  CLI11_PARSE(app, argc, argv);
  return 0;
}

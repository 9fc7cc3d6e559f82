// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>

#include "services/client/command.h"
#include "services/client/manual.h"
#include "services/common/cli_error.h"
#include "services/common/guard.h"

namespace hatchery {
namespace {

// As sysexits.h has it for what is worth another try: a job script runs the same command again.
constexpr int kStoppedExit = 75;

}  // namespace

void SetAction(CLI::App* subcommand, std::function<Status()> action) {
  subcommand->callback([action = std::move(action)] {
    const Status status = action();
    std::fflush(stdout);
    if (status.ok()) return;
    std::fprintf(stderr, "hatchery: %s\n", status.message().c_str());
    throw CLI::RuntimeError(status.code() == StatusCode::kCancelled ? kStoppedExit : 1);
  });
}

void AddBackendOptions(CLI::App& command, BackendOptions& options) {
  command.add_option("--backend", options.name, "auto, cpu, cuda or metal")
      ->check(CLI::IsMember({"auto", "cpu", "cuda", "metal"}));
  AddThreadsOption(command, options);
  command.add_option("--devices", options.devices, "CUDA devices, as in 0,1; all unless given");
}

void AddThreadsOption(CLI::App& command, BackendOptions& options) {
  command.add_option("--threads", options.threads, "CPU threads; 0: one a hardware thread")
      ->check(WholeNumber(0, kMaxThreads));
}

void AddSetOption(CLI::App& command, std::vector<std::string>& sets) {
  command.add_option("--set", sets, "Change a field of the job: noise.rank=2 (may be repeated)")
      ->allow_extra_args(false);
}

namespace {

// On every command, however deep.
void AddVersion(CLI::App& app) {
  app.set_version_flag("--version", "hatchery " HATCHERY_VERSION);
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    AddVersion(*command);
}

int Main(int argc, char** argv) {
  CLI::App app("Trains neural networks by evolution strategies, exactly: same job, same bytes.",
               "hatchery");
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);

  AddDescribeCommand(app);
  AddTrainCommand(app);
  AddEvalCommand(app);
  AddSampleCommand(app);
  AddReplayCommand(app);
  AddAuditCommand(app);
  AddReportCommand(app);
  AddPlotCommand(app);
  AddExportMetricsCommand(app);
  AddFsckCommand(app);
  AddBackupCommand(app);
  AddDigestCommand(app);
  AddDataCommand(app);
  AddSubmitCommand(app);
  AddOnlineCommands(app);
  AddDoctorCommand(app);
  AddHealthCommand(app);
  AddCompletionCommand(app);
  AddVersion(app);
  AddSelfDescription(app, ClientManual());

  if (const auto status = ParseCommandLine(app, argc, argv)) return *status;
  return 0;
}

}  // namespace
}  // namespace hatchery

int main(int argc, char** argv) {
  return hatchery::GuardedMain("hatchery", [&] { return hatchery::Main(argc, argv); });
}

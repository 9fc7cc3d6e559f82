// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>

#include "services/client/command.h"
#include "services/client/run_reader.h"
#include "services/client/stop_on_signal.h"
#include "services/report/export.h"

namespace hatchery {
namespace {

struct Options {
  std::string directory, csv, tensorboard;
  bool no_replay = false;
  BackendOptions backend;
};

Status Write(const std::string& path, const std::string& bytes) {
  HATCHERY_RETURN_IF_ERROR(PosixDisk().WriteAtomically(path, bytes));
  std::printf("wrote %s (%zu bytes)\n", path.c_str(), bytes.size());
  return {};
}

// The name tells TensorBoard what it is; it is the same for the same run, so that exporting again
// replaces what is there and doubles nothing.
Status WriteEvents(const std::string& directory, const report::Run& run) {
  const auto& marks = run.history.marks;
  char name[80];
  std::snprintf(
      name, sizeof name, "/events.out.tfevents.%010lld.hatchery",
      marks.empty() ? 0LL : static_cast<long long>(marks.front().unix_milliseconds / 1000));
  HATCHERY_RETURN_IF_ERROR(PosixDisk().CreateDirectory(directory));
  return Write(directory + name, report::EncodeEventFile(report::MetricsToEvents(run)));
}

Status Export(const Options& options) {
  const StopOnSignal signals;
  if (options.csv.empty() && options.tensorboard.empty())
    return InvalidArgument("export-metrics needs --csv FILE.csv or --tensorboard DIR, or both");
  if (!options.csv.empty()) HATCHERY_RETURN_IF_ERROR(CheckOutput("--csv", options.csv, {".csv"}));
  std::optional<report::ReplayHistoryOptions> replay;
  if (!options.no_replay) {
    replay.emplace().samples = 0;
    replay->most_measured = 0;
    replay->backend = options.backend;
    replay->stop = signals.token();
  }
  HATCHERY_ASSIGN_OR_RETURN(const report::Run run, ReadRun(options.directory, std::move(replay)));
  if (!options.csv.empty()) HATCHERY_RETURN_IF_ERROR(Write(options.csv, report::MetricsToCsv(run)));
  if (!options.tensorboard.empty()) HATCHERY_RETURN_IF_ERROR(WriteEvents(options.tensorboard, run));
  return {};
}

}  // namespace

void AddExportMetricsCommand(CLI::App& app) {
  auto* command = app.add_subcommand("export-metrics",
                                     "Write a run's metrics, a row a step, for other programs");
  auto options = std::make_shared<Options>();
  command->add_option("DIR", options->directory, "Directory of the run")->required();
  command->add_option("--csv", options->csv, "The table to write: NAME.csv");
  command->add_option("--tensorboard", options->tensorboard,
                      "Directory to write a TensorBoard event file into, one of its own for a run");
  command->add_flag("--no-replay", options->no_replay,
                    "Only what the journal says: no update rate, no saturation");
  AddBackendOptions(*command, options->backend);
  SetAction(command, [options] { return Export(*options); });
}

}  // namespace hatchery

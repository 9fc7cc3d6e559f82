// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>

#include "services/client/command.h"
#include "services/client/run_reader.h"
#include "services/client/stop_on_signal.h"
#include "services/common/cli_error.h"
#include "services/report/page.h"

namespace hatchery {
namespace {

struct Options {
  std::string directory, out;
  bool no_replay = false;
  report::ReplayHistoryOptions replay;
};

Status Report(const Options& options) {
  const StopOnSignal signals;
  HATCHERY_RETURN_IF_ERROR(CheckOutput("--out", options.out, {".html", ".htm"}));
  std::optional<report::ReplayHistoryOptions> replay;
  if (!options.no_replay) replay = options.replay;
  if (replay) replay->stop = signals.token();
  HATCHERY_ASSIGN_OR_RETURN(const report::Run run, ReadRun(options.directory, std::move(replay)));
  const std::string page =
      report::RenderPage(run, {options.replay.prompt, options.replay.sampling});
  HATCHERY_RETURN_IF_ERROR(PosixDisk().WriteAtomically(options.out, page));
  std::printf("wrote %s (%zu bytes): %s at step %u\n", options.out.c_str(), page.size(),
              run.history.Name().c_str(), run.history.step());
  return {};
}

}  // namespace

void AddReportCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "report", "Write a run as one HTML file: curves, layers, samples, configuration, digests");
  auto options = std::make_shared<Options>();
  options->replay.sampling.temperature = 0.7;
  command->add_option("DIR", options->directory, "Directory of the run")->required();
  command->add_option("--out", options->out, "The file to write: NAME.html")->required();
  command->add_flag(
      "--no-replay", options->no_replay,
      "Only what the journal says: no figures by layer, no samples, digests unproven");
  command
      ->add_option("--samples", options->replay.samples,
                   "Steps at which the model writes, spread over the run (6 unless given)")
      ->check(WholeNumber(0, 1000));
  command->add_option("--prompt", options->replay.prompt, "Text that the samples go on from");
  command->add_option("--bytes", options->replay.sampling.bytes, "Of each sample")
      ->check(WholeNumber(0, 100000));
  command
      ->add_option("--temperature", options->replay.sampling.temperature,
                   "Of the samples (0.7 unless given); 0: always the likeliest byte")
      ->check(Number(0, 1e6));
  AddBackendOptions(*command, options->replay.backend);
  SetAction(command, [options] { return Report(*options); });
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>

#include "services/client/command.h"
#include "services/client/run_reader.h"
#include "services/client/stop_on_signal.h"
#include "services/report/image.h"

namespace hatchery {
namespace {

struct Options {
  std::vector<std::string> directories;
  std::string out, metric = "held-out", x = "step";
  BackendOptions backend;
};

std::vector<std::string> MetricNames() {
  std::vector<std::string> names;
  for (const report::Metric& metric : report::Metrics()) names.push_back(metric.name);
  return names;
}

const report::Metric& MetricNamed(const std::string& name) {
  const auto metrics = report::Metrics();
  return *std::find_if(metrics.begin(), metrics.end(),
                       [&](const report::Metric& metric) { return metric.name == name; });
}

// OK if there is something to draw of every run.
Status CheckDrawn(const Options& options, const report::Chart& chart) {
  for (size_t i = 0; i < chart.series.size(); ++i)
    if (chart.series[i].points.empty())
      return FailedPrecondition("the journal of " + options.directories[i] + " tells no " +
                                options.metric + " over " + options.x +
                                "; leave this run out or choose another --metric or --x");
  return {};
}

Status Plot(const Options& options) {
  const StopOnSignal signals;
  HATCHERY_RETURN_IF_ERROR(CheckOutput("--out", options.out, {".svg", ".png"}));
  const report::Metric& metric = MetricNamed(options.metric);
  std::vector<report::Run> runs;
  for (const std::string& directory : options.directories) {
    std::optional<report::ReplayHistoryOptions> replay;
    if (metric.needs_replay) {
      replay.emplace().samples = 0;
      replay->backend = options.backend;
      replay->stop = signals.token();
    }
    HATCHERY_ASSIGN_OR_RETURN(report::Run run, ReadRun(directory, std::move(replay)));
    runs.push_back(std::move(run));
  }
  const report::Chart chart = report::ChartOfRuns(runs, metric, report::Abscissa(options.x, runs));
  HATCHERY_RETURN_IF_ERROR(CheckDrawn(options, chart));
  std::string image = report::ChartToSvgFile(chart);
  if (options.out.ends_with(".png")) {
    HATCHERY_ASSIGN_OR_RETURN(image, report::SvgToPng(image));
  }
  HATCHERY_RETURN_IF_ERROR(PosixDisk().WriteAtomically(options.out, image));
  std::printf("wrote %s (%zu bytes)\n", options.out.c_str(), image.size());
  return {};
}

}  // namespace

void AddPlotCommand(CLI::App& app) {
  auto* command =
      app.add_subcommand("plot", "Draw a metric of one or several runs as an SVG or PNG file");
  auto options = std::make_shared<Options>();
  command->add_option("DIR", options->directories, "Directories of the runs, a line each")
      ->required();
  command->add_option("--out", options->out, "The file to write: NAME.svg or NAME.png")->required();
  command->add_option("--metric", options->metric, "held-out unless given")
      ->check(CLI::IsMember(MetricNames()));
  command->add_option("--x", options->x, "step unless given")
      ->check(CLI::IsMember({"step", "tokens", "time"}));
  AddBackendOptions(*command, options->backend);
  SetAction(command, [options] { return Plot(*options); });
}

}  // namespace hatchery

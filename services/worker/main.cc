// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// hatchery-worker: evaluates shards for a coordinator.
#include <CLI/CLI.hpp>
#include <csignal>

#include "services/common/cli_error.h"
#include "services/common/guard.h"
#include "services/common/log.h"
#include "services/common/stop_signals.h"
#include "services/gang/gang.h"
#include "services/worker/manual.h"
#include "services/worker/shell.h"

namespace hatchery::worker {
namespace {

// Runs the worker, or, as another rank than the first of a gang, does what that says.
StatusOr<int> RunRank(WorkerOptions options, const BackendOptions& backend, EventQueue& events) {
  HATCHERY_ASSIGN_OR_RETURN(const auto gang, Gang::Join(backend));
  options.create = gang ? gang->Factory() : FactoryOf(backend);
  if (!options.metrics.address.empty()) {
    HATCHERY_ASSIGN_OR_RETURN(options.gpus, ChooseDevices(backend));
    if (gang && !options.gpus.empty()) options.gpus = {options.gpus[0]};  // a rank has one
  }
  if (!gang) return RunWorker(options, events);
  if (gang->rank() != 0) {
    gang->Follow();
    return 0;
  }
  gang->OnLost([&](const Status& why) { events.Push(StopRequested{why.message()}); });
  const StatusOr<int> code = RunWorker(options, events);
  return gang->lost().ok() ? code : 1;
}

int CannotStart(const Status& why) {
  WriteLog({LogLevel::kError, "cannot_start", "hatchery-worker cannot start: " + why.message()});
  return 1;
}

int Main(int argc, char** argv) {
  WorkerOptions options;
  BackendOptions backend;
  LogOptions log;
  CLI::App app("Evaluates shards of the population for a hatchery coordinator.", "hatchery-worker");
  app.set_version_flag("--version", "hatchery-worker " HATCHERY_VERSION);
  AddConnectionOptions(app, options);
  app.add_option("--backend", backend.name, "auto, cpu, cuda or metal")
      ->check(CLI::IsMember({"auto", "cpu", "cuda", "metal"}))
      ->capture_default_str();
  app.add_option("--threads", backend.threads,
                 "threads of the CPU backend; 0: one a hardware thread")
      ->check(WholeNumber(0, kMaxThreads))
      ->capture_default_str();
  app.add_option("--devices", backend.devices,
                 "devices of the CUDA backend, as in 0,1 (default: all)");
  app.add_option("--cache-dir", options.cache_directory,
                 "fetched data files (default: $XDG_CACHE_HOME/hatchery or ~/.cache/hatchery)");
  app.add_option("--data", options.files,
                 "a data file of this machine, used for any job that names its hash; repeatable")
      ->check(ReadableFile());
  app.add_option("--name", options.name, "name to show to people (default: HOST/PID)");
  app.add_option("--retry-seconds", options.retry_seconds,
                 "give up after so long without a coordinator; 0: never")
      ->capture_default_str();
  AddMetricsOptions(app, options.metrics, "127.0.0.1:9465");
  std::string chaos;
  app.add_option("--chaos", chaos,
                 "misbehave on purpose, for drills: flip@STEP, lie@STEP, stall@STEP, garbage@STEP");
  AddLogOptions(app, log);
  AddSelfDescription(app, TheManual());
  if (const auto status = ParseCommandLine(app, argc, argv)) return *status;

  StartLog(log);
  backend.on_gpu_refused = [](const std::string& line) {
    WriteLog({LogLevel::kWarning, "gpu_refused", line});
  };
  StatusOr<Chaos> parsed = Chaos::Parse(chaos);
  if (!parsed.ok()) return CannotStart(parsed.status());
  options.chaos = std::move(*parsed);
  EventQueue events;
  const StopSignals signals([&](int signal) {
    events.Push(StopRequested{signal == SIGTERM ? "terminated" : "interrupted"});
  });
  const StatusOr<int> code = RunRank(options, backend, events);
  return code.ok() ? *code : CannotStart(code.status());
}

}  // namespace
}  // namespace hatchery::worker

int main(int argc, char** argv) {
  return hatchery::GuardedMain("hatchery-worker",
                               [&] { return hatchery::worker::Main(argc, argv); });
}

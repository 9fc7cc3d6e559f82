// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// hatchery-coordinator: hands out shards, keeps the journals.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>

#include "services/common/cli_error.h"
#include "services/common/file_limit.h"
#include "services/common/guard.h"
#include "services/common/log.h"
#include "services/common/run_events.h"
#include "services/common/stop_signals.h"
#include "services/coordinator/authenticator.h"
#include "services/coordinator/client_service.h"
#include "services/coordinator/engine.h"
#include "services/coordinator/limits.h"
#include "services/coordinator/listener.h"
#include "services/coordinator/manual.h"
#include "services/coordinator/metrics.h"
#include "services/coordinator/page_server.h"
#include "services/coordinator/worker_service.h"

namespace hatchery::coordinator {
namespace {

struct Options {
  ListenOptions listen;
  Limits limits;
  LogOptions log;
  MetricsOptions metrics;
  PageOptions page;
  std::string data_dir;
  uint32_t heartbeat_seconds = 5;
  double audit_share = 0.01;
  std::string referee = "auto";
};

constexpr auto kShutdownGrace = std::chrono::seconds(2);

void LogRefusedGpu(const std::string& line) { WriteLog({LogLevel::kWarning, "gpu_refused", line}); }

EngineOptions EngineOptionsFrom(const Options& options) {
  EngineOptions engine;
  engine.heartbeat_seconds = options.heartbeat_seconds;
  engine.audit_share = options.audit_share;
  if (options.referee == "off")
    engine.referee.reset();
  else
    engine.referee = BackendOptions{.name = options.referee, .on_gpu_refused = LogRefusedGpu};
  return engine;
}

StatusOr<std::optional<Tokens>> ReadTokensOf(const ListenOptions& options) {
  if (options.worker_tokens.empty()) return std::optional<Tokens>();
  HATCHERY_ASSIGN_OR_RETURN(Tokens tokens,
                            Tokens::Read(options.worker_tokens, options.client_tokens));
  return std::optional(std::move(tokens));
}

Status Serve(const Options& options) {
  StopSignals::Block();  // before any thread is made

  HATCHERY_ASSIGN_OR_RETURN(auto store,
                            JobStore::Open(PosixDisk(), options.data_dir, UnixMilliseconds));
  HATCHERY_ASSIGN_OR_RETURN(const auto engine,
                            Engine::Start(std::move(store), EngineOptionsFrom(options)));
  Bounds bounds(options.limits);
  WorkerServiceImpl workers(*engine, bounds);
  ClientServiceImpl clients(*engine, bounds);
  HATCHERY_ASSIGN_OR_RETURN(const Listening listening,
                            Listen(options.listen, {&workers, &clients}));
  HATCHERY_ASSIGN_OR_RETURN(auto metrics,
                            MetricsServer::Start(options.metrics, [&](MetricsPage& page) {
                              WriteMetrics(*engine, bounds, page);
                            }));
  HATCHERY_ASSIGN_OR_RETURN(auto tokens, ReadTokensOf(options.listen));
  HATCHERY_ASSIGN_OR_RETURN(const auto page,
                            PageServer::Start(options.page, std::move(tokens), *engine));
  WriteLog({LogLevel::kInfo, "listening",
            "listening on " + listening.address + ", data in " + options.data_dir});
  if (page) WriteLog({LogLevel::kInfo, "page", "the page is at http://" + page->address() + "/"});

  const int signal = StopSignals::Wait();
  WriteLog({LogLevel::kInfo, "shutting_down", signal == SIGTERM ? "terminated" : "interrupted"});
  metrics.reset();
  engine->Stop();
  listening.server->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  return {};
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Hands a population's shards to workers and keeps the journals of the runs.",
               "hatchery-coordinator");
  app.set_version_flag("--version", "hatchery-coordinator " HATCHERY_VERSION);
  AddListenOptions(app, options.listen);
  AddLimitOptions(app, options.limits);
  AddMetricsOptions(app, options.metrics, "127.0.0.1:9464");
  AddPageOptions(app, options.page);
  app.add_option("--data-dir", options.data_dir,
                 "journals, checkpoints, datasets and the catalogue; created if missing")
      ->required();
  app.add_option("--heartbeat-seconds", options.heartbeat_seconds,
                 "between two signs of life of a worker; one that misses six is gone")
      ->check(WholeNumber(1, 3600))
      ->capture_default_str();
  app.add_option("--audit", options.audit_share,
                 "share of the shards that a second worker evaluates too, 0 to 1")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--referee", options.referee,
                 "what the coordinator replays a journal on when workers disagree, or to confirm a "
                 "lone worker's checkpoint: auto, cpu, cuda, metal or off")
      ->check(CLI::IsMember({"auto", "cpu", "cuda", "metal", "off"}))
      ->capture_default_str();
  AddLogOptions(app, options.log);
  AddSelfDescription(app, TheManual());
  if (const auto status = ParseCommandLine(app, argc, argv)) return *status;

  // gRPC's own log repeats our one line in its own words; GRPC_VERBOSITY brings it back.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  RaiseFileLimit();
  StartLog(options.log);
  const Status status = Serve(options);
  if (status.ok()) return 0;
  WriteLog(
      {LogLevel::kError, "cannot_run", "hatchery-coordinator cannot run: " + status.message()});
  return 1;
}

}  // namespace
}  // namespace hatchery::coordinator

int main(int argc, char** argv) {
  return hatchery::GuardedMain("hatchery-coordinator",
                               [&] { return hatchery::coordinator::Main(argc, argv); });
}

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/shell.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>

#include "kernels/core/version.h"
#include "services/common/device_memory.h"
#include "services/common/log.h"
#include "services/common/protocol.h"
#include "services/common/rpc.h"
#include "services/worker/executor.h"
#include "services/worker/link.h"
#include "services/worker/loader.h"
#include "services/worker/metrics.h"
#include "services/worker/session.h"

namespace hatchery::worker {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kFarewell{2};  // for the coordinator to read our Goodbye

std::string DefaultName() {
  char host[256] = "worker";
  gethostname(host, sizeof(host) - 1);
  return std::string(host) + "/" + std::to_string(getpid());
}

std::string DefaultCache() {
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg != '\0') {
    return std::string(xdg) + "/hatchery";
  }
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : "/tmp") + "/.cache/hatchery";
}

StatusOr<v1::Hello> MakeHello(const WorkerOptions& options) {
  // A small replica, of the usual width, tells what the backend is and which kernels it has for that,
  // or why there is none.
  JobSpec probe;
  probe.layers = 1;
  HATCHERY_ASSIGN_OR_RETURN(const std::unique_ptr<Replica> replica, options.create(probe, {}));
  const std::string device = replica->Description();
  v1::Hello hello;
  hello.set_protocol_version(kProtocolVersion);
  hello.set_contract_version(core::kContractVersion);
  hello.set_software_version(HATCHERY_VERSION);
  hello.set_name(options.name.empty() ? DefaultName() : options.name);
  hello.set_backend(device.substr(0, device.find(' ')));
  hello.set_device(device);
  return hello;
}

// Carries the session's actions out.
class Shell {
 public:
  Shell(const WorkerOptions& options, v1::Hello hello, std::shared_ptr<grpc::Channel> channel,
        v1::WorkerService::Stub& stub, Loader& loader, WorkerFigures& figures, EventQueue& events)
      : channel_(std::move(channel)),
        options_(options),
        figures_(figures),
        events_(events),
        session_({std::move(hello), options.coordinator, options.retry_seconds}),
        executor_(stub, loader, options.create, options.chaos, figures, events) {}

  int Run() {
    Handle(Tick{});
    while (!exit_) {
      std::optional<Event> event = events_.Pop(Deadline());
      Handle(event ? *event : Event(Tick{}));
    }
    Farewell();
    return *exit_;
  }

 private:
  void Handle(const Event& event) {
    const int64_t now =
        std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_).count();
    if (std::holds_alternative<Disconnected>(event)) link_.reset();
    for (const Action& action : session_.Handle(now, event)) {
      std::visit([this](const auto& kind) { Perform(kind); }, action);
    }
  }

  Clock::time_point Deadline() const {
    const std::optional<int64_t> tick = session_.NextTick();
    return tick ? start_ + std::chrono::milliseconds(*tick) : Clock::now() + std::chrono::hours(1);
  }

  void Perform(const Connect&) {
    link_ = std::make_unique<Link>(channel_, options_, figures_, events_);
  }
  void Perform(const Send& action) {
    if (link_) link_->Send(action.message);
  }
  void Perform(const Start& action) { executor_.Start(action.work); }
  void Perform(const CancelWork&) { executor_.Cancel(); }
  void Perform(const LogLine& line) { WriteLog(line); }
  void Perform(const Exit& action) {
    exit_ = action.code;
    said_goodbye_ = session_.Greeted();
  }

  // Lets the Goodbye arrive: without it the coordinator would wait for our heartbeat.
  void Farewell() {
    if (!link_ || !said_goodbye_) return;
    link_->CloseSending();
    const auto deadline = Clock::now() + kFarewell;
    while (std::optional<Event> event = events_.Pop(deadline)) {
      if (std::holds_alternative<Disconnected>(*event)) return;
    }
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const ConnectionOptions options_;
  WorkerFigures& figures_;
  EventQueue& events_;
  const Clock::time_point start_ = Clock::now();
  WorkerSession session_;
  std::optional<int> exit_;
  bool said_goodbye_ = false;
  Executor executor_;
  std::unique_ptr<Link> link_;  // null while there is no stream
};

}  // namespace

StatusOr<int> RunWorker(const WorkerOptions& options, EventQueue& events) {
  HATCHERY_ASSIGN_OR_RETURN(const auto channel, OpenChannel(options));
  HATCHERY_ASSIGN_OR_RETURN(v1::Hello hello, MakeHello(options));
  const std::unique_ptr<v1::WorkerService::Stub> stub = v1::WorkerService::NewStub(channel);
  const std::string cache =
      options.cache_directory.empty() ? DefaultCache() : options.cache_directory;
  HATCHERY_ASSIGN_OR_RETURN(const std::unique_ptr<Loader> loader,
                            Loader::Create(*stub, options.files, cache, options.create));
  WorkerFigures figures;
  figures.Turn(Activity::kWait, MonotonicSeconds());
  HATCHERY_ASSIGN_OR_RETURN(
      const auto metrics,
      MetricsServer::Start(options.metrics, [&figures, &options, said = hello](MetricsPage& page) {
        WriteMetrics(figures, said, MemoryOf(options.gpus), page);
      }));
  WriteLog(
      {LogLevel::kInfo, "started", "hatchery-worker " HATCHERY_VERSION " on " + hello.device()});
  return Shell(options, std::move(hello), channel, *stub, *loader, figures, events).Run();
}

}  // namespace hatchery::worker

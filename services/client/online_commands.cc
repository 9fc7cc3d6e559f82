// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The short commands that talk to a coordinator.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "services/client/command.h"
#include "services/client/figure_text.h"
#include "services/client/online.h"
#include "services/common/cli_error.h"
#include "services/common/state_json.h"

namespace hatchery {
namespace {

struct Options : OnlineOptions {
  std::string job_id, out;
  std::optional<uint32_t> from_step;
};

// A subcommand with the common options, about one job if `job` says what for.
template <typename Action>
CLI::App* Add(CLI::App& app, const std::string& name, const std::string& help,
              const std::shared_ptr<Options>& options, Action action) {
  auto* command = app.add_subcommand(name, help);
  AddOnlineOptions(*command, *options);
  SetAction(command, [options, action] { return action(*options); });
  return command;
}

CLI::Option* AddJobId(CLI::App* command, const std::shared_ptr<Options>& options) {
  return command->add_option("ID", options->job_id, "The job, as submit printed it");
}

void PrintJobHeader() {
  std::printf("%-12s %-20s %-10s %13s %9s %9s %8s  %s\n", "JOB", "NAME", "STATE", "STEP", "TRAIN",
              "HELD-OUT", "WORKERS", "SUBMITTED (UTC)");
}

void Print(const v1::JobState& job) {
  const std::string step = std::to_string(job.step()) + "/" + std::to_string(job.job().steps());
  std::printf("%-12s %-20s %-10s %13s %9s %9s %8u  %s%s%s\n", job.job_id().c_str(),
              job.job().name().c_str(), StateName(job.state()).c_str(), step.c_str(),
              FormatBitsPerByte(job.latest().train_bits_per_byte()).c_str(),
              FormatBitsPerByte(job.latest().validation_bits_per_byte()).c_str(), job.workers(),
              FormatTime(job.submitted_unix_seconds()).c_str(), job.reason().empty() ? "" : "  ",
              job.reason().c_str());
}

void Print(const v1::WorkerState& w) {
  std::printf("%-12s %-24s %-10s %-12s %8u %12s %12llu  %s\n", w.worker_id().c_str(),
              w.name().c_str(), w.state().c_str(), w.job_id().c_str(), w.step(),
              FormatRate(w.tokens_per_second()).c_str(),
              static_cast<unsigned long long>(w.pairs_done()), w.device().c_str());
}

void Print(const v1::Event& e) {
  std::printf("%s  step %-6u %-18s %s%s%s\n", FormatTime(e.unix_milliseconds() / 1000).c_str(),
              e.step(), e.kind().c_str(), e.worker_id().c_str(), e.worker_id().empty() ? "" : ": ",
              e.message().c_str());
}

// Prints every item, as JSON or as a row.
template <typename Items>
void PrintAll(bool json, const Items& items) {
  for (const auto& item : items) {
    if (json) {
      std::printf("%s\n", ToJson(item).c_str());
    } else {
      Print(item);
    }
  }
}

Status Jobs(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(Online online, Online::Open(options));
  HATCHERY_ASSIGN_OR_RETURN(const v1::ListJobsResponse response,
                            online.Call(&Online::Stub::ListJobs, v1::ListJobsRequest()));
  if (!options.json) PrintJobHeader();
  PrintAll(options.json, response.jobs());
  return {};
}

Status Workers(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(Online online, Online::Open(options));
  HATCHERY_ASSIGN_OR_RETURN(const v1::ListWorkersResponse response,
                            online.Call(&Online::Stub::ListWorkers, v1::ListWorkersRequest()));
  if (!options.json) {
    std::printf("%-12s %-24s %-10s %-12s %8s %12s %12s  %s\n", "WORKER", "NAME", "STATE", "JOB",
                "STEP", "TOKENS/S", "PAIRS", "DEVICE");
  }
  PrintAll(options.json, response.workers());
  return {};
}

Status Events(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(Online online, Online::Open(options));
  v1::ListEventsRequest request;
  request.set_job_id(options.job_id);
  HATCHERY_ASSIGN_OR_RETURN(const v1::ListEventsResponse response,
                            online.Call(&Online::Stub::ListEvents, request));
  PrintAll(options.json, response.events());
  return {};
}

using ChangeMethod = grpc::Status (Online::Stub::*)(grpc::ClientContext*,
                                                    const v1::ChangeJobRequest&, v1::JobState*);

Status Change(const Options& options, ChangeMethod method) {
  HATCHERY_ASSIGN_OR_RETURN(Online online, Online::Open(options));
  v1::ChangeJobRequest request;
  request.set_job_id(options.job_id);
  HATCHERY_ASSIGN_OR_RETURN(const v1::JobState job, online.Call(method, request));
  if (options.json) {
    std::printf("%s\n", ToJson(job).c_str());
  } else {
    std::printf("job %s is %s at step %u of %u\n", job.job_id().c_str(),
                StateName(job.state()).c_str(), job.step(), job.job().steps());
  }
  return {};
}

void AddChange(CLI::App& app, const std::string& name, const std::string& help,
               ChangeMethod method) {
  auto options = std::make_shared<Options>();
  auto* command = Add(app, name, help, options,
                      [method](const Options& given) { return Change(given, method); });
  AddJobId(command, options)->required();
}

Status Watch(const Options& options) {
  return WatchJob(options, options.job_id, options.from_step);
}

}  // namespace

void AddOnlineCommands(CLI::App& app) {
  Add(app, "jobs", "The coordinator's jobs", std::make_shared<Options>(), Jobs);

  auto watch = std::make_shared<Options>();
  auto* watch_command = Add(app, "watch", "Follow a job until it ends", watch, Watch);
  AddJobId(watch_command, watch)->required();
  watch_command->add_option("--from", watch->from_step, "Repeat the steps from this one on first")
      ->check(WholeNumber(0, UINT32_MAX));

  Add(app, "top", "The coordinator's jobs and workers, live", std::make_shared<Options>(),
      WatchFleet);

  AddChange(app, "pause",
            "Stop a job for later; the step that it is on is dropped and done anew by resume",
            &Online::Stub::PauseJob);
  AddChange(app, "resume", "Let a paused job go on", &Online::Stub::ResumeJob);
  AddChange(app, "cancel", "End a job for good; its journal stays", &Online::Stub::CancelJob);

  Add(app, "workers", "The coordinator's workers", std::make_shared<Options>(), Workers);
  auto events = std::make_shared<Options>();
  AddJobId(Add(app, "events", "What happened to a job, or to the coordinator", events, Events),
           events);

  auto fetch = std::make_shared<Options>();
  auto* fetch_command =
      Add(app, "fetch", "Copy a job's journal and newest checkpoint here", fetch,
          [](const Options& given) { return FetchRun(given, given.job_id, given.out); });
  AddJobId(fetch_command, fetch)->required();
  fetch_command->add_option("--out", fetch->out, "The directory to fill")->required();
}

}  // namespace hatchery

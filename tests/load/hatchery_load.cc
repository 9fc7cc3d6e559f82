// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// hatchery-load: simulated workers, each on a connection of its own, against a real coordinator;
// and the books of what they sent and heard. docs/reliability.md, "Load".
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "services/common/cli_error.h"
#include "services/common/file_limit.h"
#include "services/common/guard.h"
#include "services/common/job.h"
#include "services/common/memory.h"
#include "services/common/rpc.h"
#include "services/common/sha256.h"
#include "tests/load/meter.h"
#include "tests/load/simulated_worker.h"
#include "tests/service/process.h"
#include "tests/service/worker_messages.h"

namespace hatchery::load {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::seconds;

constexpr seconds kStartPatience{60}, kJoinPatience{120}, kLeavePatience{60}, kCallPatience{60};
constexpr int kCannotExecute = 127;
constexpr uint32_t kStuckAfter = 3;  // commits
constexpr double kWarmUp = 0.25;     // of the run, before memory is judged

struct Options {
  std::string coordinator;
  pid_t pid = 0;
  std::string data_dir;
  uint32_t streams = 1000, run_seconds = 60, report_seconds = 5, stuck = 0;
  uint32_t population = 0, commits = UINT32_MAX;
  double rate = 40'000;
  double audit = 0.01;
  uint32_t stalled_seconds = 60;
  bool json = false;
};

// ---- The coordinator ---------------------------------------------------------------------------

// One that this run starts and ends, or nothing if there is one already.
class OwnCoordinator {
 public:
  explicit OwnCoordinator(Options& options) {
    if (!options.coordinator.empty()) return;
    std::string pattern = std::filesystem::temp_directory_path() / "hatchery-load-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    options.coordinator = "127.0.0.1:" + std::to_string(test::FreePort());
    const std::string data = options.data_dir.empty() ? directory_ + "/data" : options.data_dir;
    process_.emplace(
        std::vector<std::string>{"hatchery-coordinator", "--listen", options.coordinator,
                                 "--data-dir", data, "--audit", std::to_string(options.audit),
                                 "--referee", "off", "--max-workers",
                                 std::to_string(options.streams + 16), "--stalled-seconds",
                                 std::to_string(options.stalled_seconds)},
        directory_ + "/coordinator");
    options.pid = process_->pid();
  }
  // Returns once it listens; an error says why it does not.
  Status Await(const std::string& address) {
    if (!process_) return {};
    const auto channel = test::OwnChannel(address);
    const auto deadline = Clock::now() + kStartPatience;
    while (!channel->WaitForConnected(std::chrono::system_clock::now() +
                                      std::chrono::milliseconds(100))) {
      if (!process_->Running()) return Unavailable("nobody listens at " + address + End());
      if (Clock::now() > deadline)
        return Unavailable("the coordinator that was started did not listen at " + address +
                           " within " + std::to_string(kStartPatience.count()) + " s");
    }
    return {};
  }

  // How it ended, to follow the error that came of it; empty while it runs or is not ours.
  std::string End() {
    const auto code = process_ ? process_->Wait(seconds(0)) : std::nullopt;
    if (!code) return "";
    if (*code == kCannotExecute)
      return ": there is no program hatchery-coordinator in " + test::ProgramFolder() +
             "; put it there, set HATCHERY_BIN, or name a coordinator with --coordinator";
    return ": the coordinator that was started ended with " +
           (*code < 0 ? "signal " + std::to_string(-*code) : "code " + std::to_string(*code)) +
           ", saying " + process_->Err();
  }

  ~OwnCoordinator() {
    if (!process_) return;
    process_->Signal(SIGTERM);
    process_->Wait(seconds(20));
    std::filesystem::remove_all(directory_);
  }
  OwnCoordinator(const OwnCoordinator&) = delete;
  OwnCoordinator& operator=(const OwnCoordinator&) = delete;

 private:
  std::string directory_;
  std::optional<test::Process> process_;
};

// What a client does, with one deadline for every call.
class Client {
 public:
  explicit Client(const std::string& address)
      : address_(address), stub_(v1::ClientService::NewStub(test::OwnChannel(address))) {}

  template <typename Request, typename Response>
  StatusOr<Response> Call(grpc::Status (v1::ClientService::Stub::*method)(grpc::ClientContext*,
                                                                          const Request&,
                                                                          Response*),
                          const Request& request) {
    grpc::ClientContext context;
    Prepare(context);
    Response response;
    const grpc::Status status = ((*stub_).*method)(&context, request, &response);
    if (!status.ok()) return Named(Request::descriptor()->name(), status);
    return response;
  }

  Status Upload(const std::string& bytes) {
    grpc::ClientContext context;
    Prepare(context);
    v1::UploadFileResponse response;
    const auto writer = stub_->UploadFile(&context, &response);
    v1::UploadFileRequest request;
    request.set_sha256(ToHex(Sha256Of(bytes)));
    request.set_bytes(bytes.size());
    request.set_data(bytes);
    writer->Write(request);
    writer->WritesDone();
    return Named(request.descriptor()->name(), writer->Finish());
  }

 private:
  // What was asked of whom when it failed.
  Status Named(const std::string& request, const grpc::Status& status) const {
    if (status.ok()) return {};
    const bool late = status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
    return Unavailable(request + " at " + address_ + ": " +
                       (late ? "no answer within " + std::to_string(kCallPatience.count()) + " s"
                             : status.error_message()));
  }
  static void Prepare(grpc::ClientContext& context) {
    context.set_wait_for_ready(true);  // what --coordinator names may be about to start
    context.set_deadline(std::chrono::system_clock::now() + kCallPatience);
  }
  const std::string address_;
  const std::unique_ptr<v1::ClientService::Stub> stub_;
};

// A job of tiny shards: five pairs each, the fewest there are, unless the population is set.
v1::Job MakeJob(const Options& options, const std::string& data) {
  v1::Job job = DefaultJob();
  job.set_name("load");
  job.mutable_model()->set_hidden(8);
  job.mutable_model()->set_layers(1);
  job.set_window(8);
  job.set_population(options.population != 0 ? options.population : 36 * options.streams);
  // More than will be done; a coordinator takes no job whose journal would fill its disk.
  job.set_steps(std::min(options.commits, 999'000u) + 1000);
  job.set_checkpoint_every(0);
  job.set_validate_every(0);
  job.mutable_train()->set_sha256(ToHex(Sha256Of(data)));
  job.mutable_train()->set_file_bytes(data.size());
  job.mutable_train()->set_end(data.size());
  return job;
}

// Of an average worker's lease: a quarter of its share of a step, in whole bytes of trits.
double ShardPairs(const JobSpec& spec, uint32_t streams) {
  return 5 * std::ceil(spec.pairs() / (4.0 * streams) / 5);
}

// ---- The run -----------------------------------------------------------------------------------

class Run {
 public:
  Run(const Options& options, const v1::Job& job, const JobSpec& spec)
      : options_(options),
        job_(job),
        client_(options.coordinator),
        fleet_(options.coordinator, spec, options.streams,
               options.streams / options.rate / ShardPairs(spec, options.streams)) {
    for (size_t i = 0; i < options.streams; ++i)
      workers_.push_back(std::make_unique<SimulatedWorker>(fleet_, i));
  }
  ~Run() {
    for (const auto& worker : workers_)
      if (started_) worker->Abort();
    while (started_ && fleet_.ended < workers_.size())
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    fleet_.timer.Stop();  // it calls workers
  }

  // Everybody joins, works for the time set, and leaves; then the books are compared.
  StatusOr<Json> Execute(const std::string& data) {
    HATCHERY_RETURN_IF_ERROR(client_.Upload(data));
    const uint64_t before = ResidentBytes(options_.pid);
    HATCHERY_RETURN_IF_ERROR(Join());
    stream_bytes_ =
        (static_cast<double>(ResidentBytes(options_.pid)) - static_cast<double>(before)) /
        static_cast<double>(workers_.size());
    v1::SubmitJobRequest request;
    *request.mutable_job() = job_;
    HATCHERY_ASSIGN_OR_RETURN(const v1::SubmitJobResponse submitted,
                              client_.Call(&Stub::SubmitJob, request));
    Load();
    const Status left = Leave();
    Json summary = Summary();
    Status verdict = left.ok() ? Verdict(submitted.job_id(), summary) : left;
    summary["verdict"] = verdict.ok() ? "nothing lost, nothing wrong" : verdict.message();
    v1::ChangeJobRequest change;
    change.set_job_id(submitted.job_id());
    (void)client_.Call(&Stub::CancelJob, change);
    return summary;
  }

 private:
  using Stub = v1::ClientService::Stub;

  // Polls until `done`; false after `patience`.
  static bool Await(seconds patience, const std::function<bool()>& done) {
    const auto deadline = Clock::now() + patience;
    while (!done()) {
      if (Clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
  }

  Status Join() {
    const auto begin = Clock::now();
    started_ = true;
    for (const auto& worker : workers_) worker->Start();
    if (!Await(kJoinPatience, [&] { return fleet_.welcomed == workers_.size() || fleet_.ended; }) ||
        fleet_.ended)
      return Unavailable("only " + std::to_string(fleet_.welcomed) + " of " +
                         std::to_string(workers_.size()) + " workers were welcomed at " +
                         options_.coordinator + FirstEnd());
    join_seconds_ = std::chrono::duration<double>(Clock::now() - begin).count();
    return {};
  }

  std::string FirstEnd() const {
    for (const auto& worker : workers_)
      if (const auto end = worker->end(); end && !end->ok()) return ": " + end->error_message();
    return "";
  }

  void Load() {
    begin_ = Clock::now();
    CpuTimes last = ReadCpuTimes(options_.pid);
    first_cpu_ = last;
    bool sticking = options_.stuck > 0;
    for (uint32_t second = 1;
         second <= options_.run_seconds && fleet_.ledger.steps() < options_.commits; ++second) {
      std::this_thread::sleep_until(begin_ + seconds(second));
      const uint64_t resident = ResidentBytes(options_.pid);
      if (second >= kWarmUp * options_.run_seconds)
        memory_.emplace_back(second / 60.0, static_cast<double>(resident));
      if (sticking && fleet_.ledger.steps() >= kStuckAfter) {
        for (uint32_t i = 0; i < options_.stuck; ++i) workers_[i]->Stick();
        sticking = false;
      }
      if (second % options_.report_seconds != 0) continue;
      const CpuTimes now = ReadCpuTimes(options_.pid);
      Tally tally = fleet_.ledger.Take();
      Print(Interval(tally, last, now, options_.report_seconds, second), second);
      total_.Add(tally);
      last = now;
    }
    total_.Add(fleet_.ledger.Take());
    run_seconds_ = std::chrono::duration<double>(Clock::now() - begin_).count();
    last_cpu_ = ReadCpuTimes(options_.pid);
  }

  Json Interval(Tally& tally, const CpuTimes& from, const CpuTimes& to, double length,
                uint32_t second) const {
    Json line;
    line["seconds"] = second;
    line["streams"] = workers_.size() - fleet_.ended;
    line["results_per_second"] = static_cast<double>(tally.results) / length;
    line["commits_per_second"] = static_cast<double>(tally.commits) / length;
    line["commit_p50_ms"] = tally.Percentile(0.5);
    line["commit_p99_ms"] = tally.Percentile(0.99);
    line["commit_max_ms"] = tally.Percentile(1);
    line["coordinator_bytes"] = ResidentBytes(options_.pid);
    const double process = to.process - from.process, own = to.own - from.own;
    const double machine = to.machine - from.machine;
    line["processors"] = Processors();
    line["coordinator_cpus"] = process / length;
    line["load_cpus"] = own / length;
    line["other_cpus"] = std::max(0.0, machine - process - own) / length;
    line["stolen_cpus"] = (to.stolen - from.stolen) / length;
    return line;
  }

  void Print(const Json& line, uint32_t second) const {
    if (options_.json) {
      std::printf("%s\n", line.dump().c_str());
    } else {
      const auto number = [&](const char* key) { return line.at(key).get<double>(); };
      std::printf(
          "%4u s: %zu streams, %.0f results/s, %.2f commits/s, commit p50 %.1f p99 %.1f max %.1f "
          "ms; coordinator %s; CPUs: coordinator %.2f, load %.2f, others %.2f of %d\n",
          second, line.at("streams").get<size_t>(), number("results_per_second"),
          number("commits_per_second"), number("commit_p50_ms"), number("commit_p99_ms"),
          number("commit_max_ms"),
          FormatBytes(line.at("coordinator_bytes").get<uint64_t>()).c_str(),
          number("coordinator_cpus"), number("load_cpus"), number("other_cpus"), Processors());
    }
    std::fflush(stdout);
  }

  Status Leave() {
    dropped_ = fleet_.ended;
    fleet_.over = true;
    for (const auto& worker : workers_) worker->Leave();
    if (Await(kLeavePatience, [&] { return fleet_.ended == workers_.size(); })) return {};
    return Unavailable(std::to_string(workers_.size() - fleet_.ended) +
                       " streams did not end within " + std::to_string(kLeavePatience.count()) +
                       " s of their workers' goodbyes");
  }

  Json Summary() {
    Json line =
        Interval(total_, first_cpu_, last_cpu_, run_seconds_, static_cast<uint32_t>(run_seconds_));
    line["streams"] = workers_.size();
    line["stuck"] = options_.stuck;
    line["dropped"] = dropped_;
    line["results"] = total_.results;
    line["commits"] = fleet_.ledger.steps();
    line["join_seconds"] = join_seconds_;
    line["bytes_per_stream"] = stream_bytes_;
    if (!memory_.empty()) {
      line["coordinator_bytes_start"] = memory_.front().second;
      line["coordinator_bytes"] = memory_.back().second;
      line["coordinator_bytes_per_minute"] = Slope(memory_);
    }
    line["pairs_sent"] = fleet_.ledger.pairs_sent();
    line["pairs_repeated"] = fleet_.ledger.pairs_repeated();
    return line;
  }

  // What the coordinator says against what the workers know.
  Status Verdict(const std::string& job_id, Json& summary) {
    uint32_t cut_off = 0;  // a stuck reader hears of it when it reads again
    for (size_t i = 0; i < workers_.size(); ++i) {
      const bool stuck = i < options_.stuck;
      const grpc::Status end = *workers_[i]->end();
      if (!stuck && !end.ok())
        return DataLoss("the stream of " + workers_[i]->id() + " ended: " + end.error_message());
      if (stuck && !end.ok()) summary["stuck_end"] = end.error_message();
      cut_off += stuck && !end.ok();
      if (const std::string what = workers_[i]->complaint(); !what.empty())
        return InternalError(workers_[i]->id() + ": " + what);
    }
    summary["cut_off"] = cut_off;
    HATCHERY_ASSIGN_OR_RETURN(const v1::ListWorkersResponse answer,
                              client_.Call(&Stub::ListWorkers, v1::ListWorkersRequest()));
    std::map<std::string, uint64_t> counted;
    for (const v1::WorkerState& state : answer.workers())
      counted[state.worker_id()] = state.pairs_done();
    std::vector<uint64_t> pairs;
    uint64_t total = 0;
    for (const auto& worker : workers_) total += pairs.emplace_back(counted[worker->id()]);
    summary["pairs_counted"] = total;
    HATCHERY_RETURN_IF_ERROR(fleet_.ledger.Balance(pairs));
    v1::GetJobRequest request;
    request.set_job_id(job_id);
    HATCHERY_ASSIGN_OR_RETURN(const v1::JobState job, client_.Call(&Stub::GetJob, request));
    summary["shards_audited"] = job.shards_audited();
    if (job.step() < fleet_.ledger.steps())
      return DataLoss("the job is at step " + std::to_string(job.step()) + "; workers heard of " +
                      std::to_string(fleet_.ledger.steps()));
    if (job.shards_disputed() + job.digests_disputed() > 0)
      return InternalError("there were disputes; `hatchery events` tells which");
    if (fleet_.ledger.steps() == 0) return InternalError("no step was committed");
    return {};
  }

  const Options options_;
  const v1::Job job_;
  Client client_;
  Fleet fleet_;
  std::vector<std::unique_ptr<SimulatedWorker>> workers_;
  bool started_ = false;
  size_t dropped_ = 0;
  double join_seconds_ = 0, run_seconds_ = 0, stream_bytes_ = 0;
  Clock::time_point begin_;
  CpuTimes first_cpu_, last_cpu_;
  Tally total_;
  std::vector<std::pair<double, double>> memory_;  // minutes, bytes
};

void PrintSummary(const Json& s) {
  const auto number = [&](const char* key) { return s.at(key).get<double>(); };
  const auto bytes = [&](const char* key) {
    return FormatBytes(static_cast<uint64_t>(std::max(0.0, s.value(key, 0.0))));
  };
  std::printf(
      "%.0f streams (%.0f stuck), joined in %.1f s; %.0f dropped\n"
      "%.0f results in %.0f s: %.0f/s; %.0f commits: %.2f/s\n"
      "from the last result to a worker's hearing of the commit: p50 %.1f, p99 %.1f, max %.1f ms\n"
      "coordinator: %s a stream; %s at first, %s at last, %+.0f KB/min\n"
      "CPUs: coordinator %.2f, load %.2f, others %.2f (of it stolen %.2f) of %.0f\n"
      "pairs: %.0f sent, %.0f of them again (audits, hedges), %.0f counted\n%s\n",
      number("streams"), number("stuck"), number("join_seconds"), number("dropped"),
      number("results"), number("seconds"), number("results_per_second"), number("commits"),
      number("commits_per_second"), number("commit_p50_ms"), number("commit_p99_ms"),
      number("commit_max_ms"), bytes("bytes_per_stream").c_str(),
      bytes("coordinator_bytes_start").c_str(), bytes("coordinator_bytes").c_str(),
      s.value("coordinator_bytes_per_minute", 0.0) / 1000, number("coordinator_cpus"),
      number("load_cpus"), number("other_cpus"), number("stolen_cpus"), number("processors"),
      number("pairs_sent"), number("pairs_repeated"), s.value("pairs_counted", 0.0),
      s.at("verdict").get<std::string>().c_str());
  if (s.contains("stuck_end"))
    std::printf("%.0f stuck streams were cut off: %s\n", number("cut_off"),
                s.at("stuck_end").get<std::string>().c_str());
}

StatusOr<bool> Execute(Options options) {
  OwnCoordinator coordinator(options);
  HATCHERY_RETURN_IF_ERROR(coordinator.Await(options.coordinator));
  const std::string data(4096, 'x');
  const v1::Job job = MakeJob(options, data);
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  Run run(options, job, spec);
  const StatusOr<Json> executed = run.Execute(data);
  if (!executed.ok()) return Unavailable(executed.status().message() + coordinator.End());
  const Json& summary = *executed;
  if (options.json)
    std::printf("%s\n", summary.dump().c_str());
  else
    PrintSummary(summary);
  return summary.at("verdict") == "nothing lost, nothing wrong";
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Simulated workers against a real coordinator: how much, how fast, and is it all there?",
      "hatchery-load");
  app.set_version_flag("--version", "hatchery-load " HATCHERY_VERSION);
  app.add_option("--coordinator", options.coordinator,
                 "HOST:PORT of one that runs, with nothing else to do (default: start one)");
  app.add_option("--coordinator-pid", options.pid, "its process, for memory and processor time");
  app.add_option("--data-dir", options.data_dir,
                 "of the coordinator that is started (default: a temporary one)");
  app.add_option("--streams", options.streams, "simulated workers, a connection each")
      ->check(WholeNumber(1, 100'000))
      ->capture_default_str();
  app.add_option("--seconds", options.run_seconds, "how long they work")
      ->check(WholeNumber(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--commits", options.commits, "no longer than until so many commits were heard")
      ->check(WholeNumber(1, UINT32_MAX));
  app.add_option("--rate", options.rate,
                 "results a second that the workers could give if they never waited for work")
      ->check(Number(1, 1e9))
      ->capture_default_str();
  app.add_option("--population", options.population, "of the job (default: 36 a stream)")
      ->check(WholeNumber(10, 1u << 24));
  app.add_option("--stuck", options.stuck,
                 "workers that stop reading their stream after three commits")
      ->check(WholeNumber(0, 100'000));
  app.add_option("--audit", options.audit, "of the coordinator that is started")
      ->check(Number(0, 1))
      ->capture_default_str();
  app.add_option("--stalled-seconds", options.stalled_seconds, "of the coordinator that is started")
      ->check(WholeNumber(1, 86'400))
      ->capture_default_str();
  app.add_option("--report", options.report_seconds, "seconds between two lines")
      ->check(WholeNumber(1, 3600))
      ->capture_default_str();
  app.add_flag("--json", options.json, "one JSON object a line");
  app.failure_message(OneLineError);
  CLI11_PARSE(app, argc, argv);
  setenv("GRPC_VERBOSITY", "NONE", 0);
  RaiseFileLimit();
  const auto well = Execute(options);
  if (!well.ok()) {
    std::fprintf(stderr, "hatchery-load: %s\n", well.status().message().c_str());
    return 1;
  }
  return *well ? 0 : 1;
}

}  // namespace
}  // namespace hatchery::load

int main(int argc, char** argv) {
  return hatchery::GuardedMain("hatchery-load", [&] { return hatchery::load::Main(argc, argv); });
}

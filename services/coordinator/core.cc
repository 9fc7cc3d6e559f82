// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The events: each is handled by core_jobs.cc or core_workers.cc, then Drive does what follows.
#include "services/coordinator/core.h"

#include <utility>

namespace hatchery::coordinator {
namespace {

constexpr int64_t kStoodStill = 2'000;  // milliseconds between two ticks

}  // namespace

Core::Core(CoreOptions options) : options_(std::move(options)), strikes_(options_.strikes) {}

Core::Actions Core::Take() {
  Drive();
  return std::exchange(actions_, {});
}

Core::Actions Core::JobSubmitted(int64_t now, JobRecord record) {
  now_ = now;
  const std::string id = record.id;
  AddRun(std::move(record));
  const Run& run = runs_.at(id);
  Log(id, "", run.record.step, "submitted", "job " + run.record.job.name() + " submitted");
  Changed(run);
  return Take();
}

Core::Actions Core::JobRecovered(int64_t now, JobRecord record) {
  now_ = now;
  const std::string id = record.id;
  AddRun(std::move(record));
  const Run& run = runs_.at(id);
  if (run.runnable())
    Log(id, "", run.record.step, "recovered",
        "continues at step " + std::to_string(run.record.step) + " of " +
            std::to_string(run.record.job.steps()));
  else if (run.record.state == v1::JobState::PAUSED && !run.record.reason.empty())
    Log(id, "", run.record.step, "recovered", "paused: " + run.record.reason);
  Changed(run);
  return Take();
}

StatusOr<Core::Actions> Core::Pause(int64_t now, const std::string& job) {
  now_ = now;
  HATCHERY_ASSIGN_OR_RETURN(Run* const run, Find(job));
  if (!run->runnable() && run->record.state != v1::JobState::PAUSED)
    return FailedPrecondition("job " + job + " is over and cannot be paused").About("job/" + job);
  if (run->runnable()) PauseRun(*run, "");
  return Take();
}

StatusOr<Core::Actions> Core::Resume(int64_t now, const std::string& job) {
  now_ = now;
  HATCHERY_ASSIGN_OR_RETURN(Run* const run, Find(job));
  if (run->record.state != v1::JobState::PAUSED) {
    if (run->runnable()) return Take();
    return FailedPrecondition("job " + job + " is over and cannot be resumed").About("job/" + job);
  }
  if (run->record.damaged)
    return FailedPrecondition("job " + job + " cannot be resumed: " + run->record.reason)
        .About("job/" + job);
  SetState(*run, v1::JobState::QUEUED);
  run->record.reason.clear();
  run->load_trouble_since = -1;
  Log(job, "", run->record.step, "resumed", "resumed");
  Changed(*run);
  if (run->pending && !run->appending) EmitAppend(*run);
  return Take();
}

StatusOr<Core::Actions> Core::Cancel(int64_t now, const std::string& job) {
  now_ = now;
  HATCHERY_ASSIGN_OR_RETURN(Run* const run, Find(job));
  if (run->record.state == v1::JobState::CANCELLED) return Take();
  if (run->record.state == v1::JobState::FINISHED)
    return FailedPrecondition("job " + job + " is finished and cannot be cancelled")
        .About("job/" + job);
  ReleaseWorkers(*run, "cancelled");
  SetState(*run, v1::JobState::CANCELLED);
  run->record.reason.clear();
  Log(job, "", run->record.step, "cancelled", "cancelled");
  Changed(*run);
  return Take();
}

Core::Actions Core::WorkerConnected(int64_t now, const std::string& worker, int64_t unix_seconds) {
  now_ = now;
  Worker& added = workers_[worker];
  added.heard = now;
  added.connected_unix_seconds = unix_seconds;
  return Take();
}

Core::Actions Core::WorkerDisconnected(int64_t now, const std::string& worker,
                                       const std::string& reason) {
  now_ = now;
  if (workers_.contains(worker)) DropWorker(worker, reason);
  return Take();
}

Core::Actions Core::Tick(int64_t now) {
  // While we ourselves stood still (a disk, a suspended machine) nobody could be heard.
  const int64_t stood = last_tick_ < 0 ? 0 : now - last_tick_;
  last_tick_ = now_ = now;
  if (stood > kStoodStill)
    for (auto& [id, worker] : workers_) worker.heard += stood;
  strength_.reset();
  std::vector<std::string> silent;
  const int64_t patience = int64_t{options_.heartbeat_seconds} * 6'000;
  for (auto& [id, worker] : workers_) {
    if (now_ - worker.heard > patience) silent.push_back(id);
    if (worker.rests_until != 0 && now_ >= worker.rests_until) {
      worker.rests_until = 0;
      hungry_.insert(id);
    }
  }
  for (const std::string& id : silent)
    Expel(id, Unavailable("nothing was heard of this worker for " +
                          std::to_string(patience / 1000) + " s"));
  for (auto& [id, run] : runs_) {
    if (run.ask && run.ask->offered.empty() && now_ > run.ask->deadline) run.ask.reset();
    if (!run.work) continue;
    std::vector<uint64_t> expired;
    for (const auto& [lease_id, lease] : run.work->leases)
      if (now_ > lease.deadline) expired.push_back(lease_id);
    for (const uint64_t lease_id : expired) ExpireLease(run, lease_id);
    RecallAudits(run);
    DropHopelessAudits(run);
  }
  Drive();
  if (Run* const run = Chosen()) Hedge(*run);
  return Take();
}

v1::JobState Core::StateOf(const Run& run) const {
  v1::JobState state;
  state.set_job_id(run.record.id);
  *state.mutable_job() = run.record.job;
  state.set_state(run.record.state);
  state.set_reason(run.record.reason);
  state.set_step(run.record.step);
  uint32_t count = 0;
  for (const auto& [id, worker] : workers_)
    if (Works(worker, run)) ++count;
  state.set_workers(count);
  *state.mutable_latest() = run.record.latest;
  state.mutable_latest()->set_workers(count);
  state.mutable_latest()->set_state(run.record.state);
  state.mutable_latest()->set_steps(run.record.job.steps());
  state.set_submitted_unix_seconds(run.record.submitted_unix_seconds);
  state.set_shards_audited(run.shards_audited);
  state.set_shards_disputed(run.shards_disputed);
  state.set_digests_disputed(run.digests_disputed);
  return state;
}

std::optional<v1::JobState> Core::Job(const std::string& job) const {
  const auto at = runs_.find(job);
  if (at == runs_.end()) return std::nullopt;
  return StateOf(at->second);
}

std::vector<v1::JobState> Core::Jobs() const {
  std::map<uint64_t, const Run*> by_age;
  for (const auto& [id, run] : runs_) by_age[run.age] = &run;
  std::vector<v1::JobState> states;
  for (const auto& [age, run] : by_age) states.push_back(StateOf(*run));
  return states;
}

std::optional<v1::JobState::State> Core::JobStateOf(const std::string& job) const {
  const auto at = runs_.find(job);
  if (at == runs_.end()) return std::nullopt;
  return at->second.record.state;
}

std::vector<v1::WorkerState> Core::Workers() const {
  std::vector<v1::WorkerState> states;
  for (const auto& [id, worker] : workers_) states.push_back(StateOf(id, worker));
  return states;
}

v1::WorkerState Core::StateOf(const std::string& id, const Worker& worker) const {
  v1::WorkerState state;
  state.set_worker_id(id);
  state.set_name(worker.hello.name());
  state.set_backend(worker.hello.backend());
  state.set_device(worker.hello.device());
  state.set_state(StateName(worker));
  state.set_job_id(worker.job);
  state.set_pairs_done(worker.pairs_done);
  state.set_connected_unix_seconds(worker.connected_unix_seconds);
  if (const auto at = runs_.find(worker.job); at != runs_.end()) {
    state.set_step(worker.step);
    state.set_tokens_per_second(worker.pairs_per_ms * 2000.0 * at->second.record.job.window());
  }
  return state;
}

void Core::Say(const std::string& worker, v1::CoordinatorMessage message) {
  actions_.push_back(Send{worker, std::move(message)});
}

void Core::Log(const std::string& job, const std::string& worker, uint32_t step, std::string kind,
               std::string message) {
  LogEvent action;
  action.event.set_job_id(job);
  action.event.set_worker_id(worker);
  action.event.set_step(step);
  action.event.set_kind(std::move(kind));
  action.event.set_message(std::move(message));
  actions_.push_back(std::move(action));
}

void Core::Changed(const Run& run, bool stepped) {
  actions_.push_back(JobChanged{run.record.id, stepped});
}

}  // namespace hatchery::coordinator

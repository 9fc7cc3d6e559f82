// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/engine.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "services/common/checkpoint.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/log.h"
#include "services/common/run_events.h"
#include "services/common/sha256.h"
#include "services/coordinator/event_log.h"
#include "services/coordinator/known_answer.h"
#include "services/coordinator/recovery.h"

namespace hatchery::coordinator {
namespace {

Status NoSuchJob(const std::string& job) {
  return NotFound("there is no job '" + job + "'; `hatchery jobs` lists them").About("job/" + job);
}

using std::chrono::milliseconds;

constexpr milliseconds kTick{100};
constexpr milliseconds kNewsWait{500};
constexpr int kTicksBetweenWorkerRecords = 50;
constexpr size_t kUnsavedKept = 1000;
constexpr size_t kMostNews = 1000;      // updates of one answer: all of a long job's are gigabytes
constexpr size_t kLongestEvent = 1024;  // bytes of its text
constexpr uint32_t kListed = 10000;     // past workers in one answer

int64_t Now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<milliseconds>(now).count();
}

}  // namespace

StatusOr<std::unique_ptr<Engine>> Engine::Start(std::unique_ptr<JobStore> store,
                                                const EngineOptions& options) {
  HATCHERY_ASSIGN_OR_RETURN(auto catalogue, Catalogue::Open(store->catalogue_path()));
  HATCHERY_ASSIGN_OR_RETURN(KnownAnswer answer, MakeKnownAnswer());
  CoreOptions core;
  core.known_answer_task = std::move(answer.task);
  core.known_answer_data = std::move(answer.data);
  core.known_answer_digest = std::move(answer.digest);
  core.heartbeat_seconds = options.heartbeat_seconds;
  core.audit_share = options.audit_share;
  std::random_device random;
  core.audit_seed = random();  // no worker can foresee which shards are audited
  for (int i = 0; i < 4; ++i) core.ticket_secret += std::to_string(random()) + ".";
  core.referee = options.referee.has_value();
  HATCHERY_ASSIGN_OR_RETURN(core.strikes, catalogue->Strikes());
  std::unique_ptr<Engine> engine(
      new Engine(std::move(store), std::move(catalogue), std::move(core), options));
  {
    std::lock_guard lock(engine->mutex_);
    HATCHERY_RETURN_IF_ERROR(engine->RecoverJobs());
  }
  Engine* raw = engine.get();
  raw->journal_thread_ = std::jthread([raw](std::stop_token stop) { raw->WriteJournals(stop); });
  raw->referee_thread_ = std::jthread([raw](std::stop_token stop) { raw->Arbitrate(stop); });
  raw->tick_thread_ = std::jthread([raw](std::stop_token stop) { raw->Tick(stop); });
  return engine;
}

void Engine::Stop() {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    Complain(catalogue_->PutWorkers(core_.Workers()));
    for (const auto& [id, stream] : streams_)
      stream->Close(Unavailable("the coordinator is shutting down"));
    streams_.clear();
    news_.notify_all();
  }
  for (std::jthread* thread : {&tick_thread_, &referee_thread_, &journal_thread_}) {
    thread->request_stop();
    if (thread->joinable()) thread->join();
  }
}

// ---- Recovery ----------------------------------------------------------------------------------

Status Engine::RecoverJobs() {
  HATCHERY_ASSIGN_OR_RETURN(const std::vector<v1::JobState> known, catalogue_->Jobs());
  for (const v1::JobState& job : known) stored_[job.job_id()] = job.SerializeAsString();
  HATCHERY_ASSIGN_OR_RETURN(const std::vector<FoundJob> found, FindJobs(*store_, known));
  for (const FoundJob& job : found) RecoverJob(job.id, job.known);
  HATCHERY_ASSIGN_OR_RETURN(const uint64_t last, catalogue_->LastWorker());
  next_worker_ = last + 1;
  return {};
}

void Engine::RecoverJob(const std::string& id, const v1::JobState* known) {
  auto job = coordinator::RecoverJob(*store_, id, known);
  if (!job.ok()) return WriteLog({LogLevel::kError, "job_left_alone", job.status().message(), id});
  if (job->torn_bytes > 0)
    WriteLog({LogLevel::kWarning, "journal_cut",
              std::to_string(job->torn_bytes) + " bytes of a broken-off write were cut off", id,
              job->record.step});
  WriteLog({LogLevel::kInfo, "job_found", "its journal ends at this step", id, job->record.step});
  updates_[id] = std::move(job->updates);
  Do(core_.JobRecovered(Now(), std::move(job->record)));
}

// ---- Workers -----------------------------------------------------------------------------------

std::string Engine::Connect(WorkerStream* stream) {
  std::lock_guard lock(mutex_);
  const std::string id = std::string("w").append(std::to_string(next_worker_++));
  if (stopping_) {
    stream->Close(Unavailable("the coordinator is shutting down"));
    return id;
  }
  streams_[id] = stream;
  Do(core_.WorkerConnected(Now(), id, UnixMilliseconds() / 1000));
  return id;
}

void Engine::Received(const std::string& worker, const v1::WorkerMessage& message) {
  std::lock_guard lock(mutex_);
  if (!streams_.contains(worker)) return;
  Do(core_.WorkerSaid(Now(), worker, message));
}

void Engine::Disconnected(const std::string& worker, const std::string& reason) {
  std::lock_guard lock(mutex_);
  if (streams_.erase(worker) == 0) return;
  Do(core_.WorkerDisconnected(Now(), worker, reason));
}

StatusOr<std::vector<v1::WorkerState>> Engine::Workers(bool connected_only) const {
  std::lock_guard lock(mutex_);
  std::vector<v1::WorkerState> live = core_.Workers();
  if (connected_only) return live;
  HATCHERY_ASSIGN_OR_RETURN(std::vector<v1::WorkerState> all, catalogue_->Workers(kListed));
  std::erase_if(all, [&](v1::WorkerState& past) {
    past.set_state("gone");
    return std::any_of(live.begin(), live.end(), [&](const v1::WorkerState& worker) {
      return worker.worker_id() == past.worker_id();
    });
  });
  all.insert(all.end(), live.begin(), live.end());
  return all;
}

// ---- Jobs --------------------------------------------------------------------------------------

StatusOr<std::string> Engine::Submit(const v1::Job& job, uint32_t most) {
  // Initial weights take seconds to compute and to read; the running job must not wait for them.
  std::lock_guard submitting(submit_mutex_);
  size_t unfinished = 0;
  for (const v1::JobState& other : Jobs())
    unfinished +=
        other.state() != v1::JobState::FINISHED && other.state() != v1::JobState::CANCELLED;
  if (unfinished >= most)
    return ResourceExhausted("this coordinator has " + std::to_string(unfinished) +
                             " unfinished jobs and takes no more; cancel some, or raise "
                             "--max-unfinished-jobs")
        .About("--max-unfinished-jobs");
  JobRecord record;
  HATCHERY_ASSIGN_OR_RETURN(record.id, store_->NewId(Jobs()));
  HATCHERY_ASSIGN_OR_RETURN(const core::Digest digest, store_->Create(record.id, job));
  HATCHERY_ASSIGN_OR_RETURN(record.spec, SpecFromJob(job));
  record.job = job;
  record.initial_digest = DigestToBytes(digest);
  record.submitted_unix_seconds = UnixMilliseconds() / 1000;
  const std::string id = record.id;
  std::lock_guard lock(mutex_);
  if (stopping_) return Unavailable("the coordinator is shutting down");
  Do(core_.JobSubmitted(Now(), std::move(record)));
  return id;
}

StatusOr<v1::JobState> Engine::Change(StatusOr<Core::Actions> (Core::*change)(int64_t,
                                                                              const std::string&),
                                      const std::string& job) {
  std::lock_guard lock(mutex_);
  HATCHERY_ASSIGN_OR_RETURN(Core::Actions actions, (core_.*change)(Now(), job));
  Do(std::move(actions));
  const v1::JobState state = *core_.Job(job);
  if (!unstored_.contains(job)) return state;
  if (const Status saved = SaveState(state, true); !saved.ok())
    return Status(saved.code(),
                  "job " + job + " is changed, but a restart of the coordinator would undo it: " +
                      saved.message());
  return state;
}

StatusOr<v1::JobState> Engine::Pause(const std::string& job) { return Change(&Core::Pause, job); }

StatusOr<v1::JobState> Engine::Resume(const std::string& job) { return Change(&Core::Resume, job); }

StatusOr<v1::JobState> Engine::Cancel(const std::string& job) { return Change(&Core::Cancel, job); }

StatusOr<v1::JobState> Engine::Job(const std::string& job) const {
  std::lock_guard lock(mutex_);
  const auto state = core_.Job(job);
  if (!state) return NoSuchJob(job);
  return *state;
}

std::vector<v1::JobState> Engine::Jobs() const {
  std::lock_guard lock(mutex_);
  return core_.Jobs();
}

StatusOr<std::vector<v1::Event>> Engine::Events(const std::string& job, uint32_t most) const {
  std::lock_guard lock(mutex_);
  if (!job.empty() && !core_.Job(job)) return NoSuchJob(job);
  return catalogue_->Events(job, most);
}

Engine::Glance Engine::LookAround(uint64_t events_seen, uint32_t most_events) const {
  std::lock_guard lock(mutex_);
  Glance glance{core_.Jobs(), core_.Workers(), {}, 0};
  for (const auto& [kind, count] : events_) glance.events_so_far += count;
  const uint64_t fresh = glance.events_so_far - std::min(events_seen, glance.events_so_far);
  if (fresh == 0) return glance;
  auto events =
      catalogue_->Events("", static_cast<uint32_t>(std::min<uint64_t>(fresh, most_events)));
  if (events.ok()) glance.events = std::move(*events);
  return glance;
}

StatusOr<Curve> Engine::CurveOf(const std::string& job, uint32_t from, uint32_t to,
                                uint32_t most) const {
  std::lock_guard lock(mutex_);
  if (!core_.JobStateOf(job)) return NoSuchJob(job);
  const auto found = updates_.find(job);
  if (found == updates_.end()) return Curve();
  return coordinator::CurveOf(found->second, from, to, most);
}

Engine::Overview Engine::Watch(size_t jobs) const {
  std::lock_guard lock(mutex_);
  return {core_.Watch(jobs), events_, weights_};
}

StatusOr<Engine::News> Engine::WaitForNews(const std::string& job, size_t seen,
                                           v1::JobState::State state) {
  std::unique_lock lock(mutex_);
  const auto current = [&] { return core_.JobStateOf(job); };
  if (!current()) return NoSuchJob(job);
  news_.wait_for(lock, kNewsWait,
                 [&] { return stopping_ || updates_[job].size() > seen || *current() != state; });
  if (stopping_) return Unavailable("the coordinator is shutting down");
  News news;
  news.state = *core_.Job(job);
  const std::vector<v1::JobUpdate>& all = updates_[job];
  if (seen < all.size()) {
    const auto from = all.begin() + static_cast<ptrdiff_t>(seen);
    news.updates.assign(from,
                        from + static_cast<ptrdiff_t>(std::min(kMostNews, all.size() - seen)));
    news.more = seen + news.updates.size() < all.size();
  }
  return news;
}

// ---- Checkpoints -------------------------------------------------------------------------------

namespace {

Status NotWanted(const std::string& checkpoint) {
  return FailedPrecondition(checkpoint + " is not wanted any more");
}

std::string CheckpointName(const std::string& job, uint32_t step) {
  return "the checkpoint of job " + job + " at step " + std::to_string(step);
}

}  // namespace

Status Engine::CheckAgainstJournal(const std::string& job, const Checkpoint& checkpoint) const {
  std::lock_guard lock(mutex_);
  const auto state = core_.Job(job);
  const auto updates = updates_.find(job);
  if (!state || updates == updates_.end()) return {};
  // The commit of a step says from which weights it starts; the closing record, where the last led.
  std::string digest;
  if (checkpoint.step < state->step() && checkpoint.step < updates->second.size())
    digest = updates->second[checkpoint.step].digest_before();
  else if (checkpoint.step == state->job().steps())
    digest = state->latest().digest();
  if (digest.empty() || digest == FormatDigest(checkpoint.digest)) return {};
  return DataLoss(CheckpointName(job, checkpoint.step) + " has digest " +
                  FormatDigest(checkpoint.digest) + ", not " + digest);
}

StatusOr<std::optional<Engine::OpenCheckpoint>> Engine::FindCheckpoint(const std::string& job,
                                                                       uint32_t step) {
  HATCHERY_ASSIGN_OR_RETURN(const v1::JobState state, Job(job));
  const RunDir run = store_->Run(job);
  // One at a time: a checkpoint that is looked at lies in memory twice.
  const std::lock_guard looking(look_mutex_);
  HATCHERY_ASSIGN_OR_RETURN(const auto found,
                            run.NewestSound(std::min(step, state.step()), [&](const Checkpoint& c) {
                              return CheckAgainstJournal(job, c);
                            }));
  if (!found) return std::optional<OpenCheckpoint>();
  OpenCheckpoint open{found->checkpoint.step, nullptr};
  HATCHERY_ASSIGN_OR_RETURN(open.file, PosixDisk().OpenRead(run.checkpoint_path(open.step)));
  return std::optional(std::move(open));
}

Status Engine::CheckWanted(const std::string& job, uint32_t step, const std::string& ticket) {
  const std::lock_guard lock(mutex_);
  return core_.CheckpointWanted(job, step, ticket) ? Status()
                                                   : NotWanted(CheckpointName(job, step));
}

Status Engine::BeginUpload(const std::string& job, uint32_t step, const std::string& ticket) {
  HATCHERY_RETURN_IF_ERROR(CheckWanted(job, step, ticket));
  const std::lock_guard lock(mutex_);
  if (uploads_.insert(ticket).second) return {};
  return FailedPrecondition(CheckpointName(job, step) + " is on its way already");
}

void Engine::EndUpload(const std::string& ticket) {
  const std::lock_guard lock(mutex_);
  uploads_.erase(ticket);
}

Status Engine::OfferCheckpoint(const std::string& job, uint32_t step, const std::string& ticket,
                               std::string_view bytes, const std::function<bool()>& given_up) {
  const std::string name = CheckpointName(job, step);
  HATCHERY_ASSIGN_OR_RETURN(const Checkpoint checkpoint, DecodeCheckpoint(bytes, name));
  if (checkpoint.step != step) return InvalidArgument(name + " is of another step");
  const Sha256Hash hash = Sha256Of(bytes);
  const std::string sha256(hash.begin(), hash.end());
  std::unique_lock lock(mutex_);
  const auto fail = [&](Status status) {
    Do(core_.CheckpointFailed(Now(), job, step, sha256, status));
    return status;
  };
  if (!core_.CheckpointWanted(job, step, ticket)) return NotWanted(name);
  Do(core_.CheckpointOffered(Now(), job, step, ticket, DigestToBytes(checkpoint.digest), sha256));
  Core::Belief belief;
  while ((belief = core_.CheckpointBelief(job, step, sha256)) == Core::Belief::kOpen &&
         !stopping_) {
    if (given_up()) return fail(Cancelled(name + " was given up by its worker"));
    news_.wait_for(lock, kTick);
  }
  if (stopping_) return Unavailable("the coordinator is shutting down");
  if (belief == Core::Belief::kNotWanted) return NotWanted(name);
  if (belief == Core::Belief::kRefuted)
    return fail(DataLoss(name + " is not what the others, or a replay of the journal, say it is"));
  const uint32_t keep = core_.Job(job)->job().checkpoints_kept();
  lock.unlock();
  MeasureWeights(job, checkpoint);  // before the older one may be removed
  std::unique_lock keeping(keep_mutex_);
  const Status stored = store_->Run(job).StoreCheckpoint(step, bytes, keep);
  keeping.unlock();
  lock.lock();
  if (!stored.ok()) return fail(stored);
  Do(core_.CheckpointStored(Now(), job, step));
  const CheckpointListener listener = on_checkpoint_;
  lock.unlock();
  if (listener) listener(job);
  return {};
}

void Engine::OnCheckpoint(CheckpointListener listener) {
  std::lock_guard lock(mutex_);
  on_checkpoint_ = std::move(listener);
}

void Engine::MeasureWeights(const std::string& job, const Checkpoint& checkpoint) {
  if (checkpoint.step == 0) return;
  const auto before = store_->Run(job).NewestSound(checkpoint.step - 1);
  const bool found = before.ok() && before->has_value();
  auto figures = FiguresOf(checkpoint, found ? &(*before)->checkpoint : nullptr);
  if (!figures.ok()) return;
  std::lock_guard lock(mutex_);
  weights_[job] = std::move(*figures);
}

// ---- What the core says ------------------------------------------------------------------------

void Engine::Do(Core::Actions actions) {
  for (Action& action : actions) std::visit([this](auto& a) { Do(a); }, action);
  // A stream that was closed meanwhile still lives: its Disconnected waits for mutex_.
  for (WorkerStream* stream : std::exchange(unflushed_, {})) stream->Flush();
}

void Engine::Do(Send& action) {
  const auto found = streams_.find(action.worker);
  if (found == streams_.end()) return;
  found->second->Send(std::move(action.message));
  unflushed_.push_back(found->second);
}

void Engine::Do(const CloseWorker& action) {
  const auto found = streams_.find(action.worker);
  if (found == streams_.end()) return;
  // Without an error the worker wanted it; its goodbye has been logged.
  if (!action.status.ok())
    WriteLog(
        {LogLevel::kWarning, "session_closed", action.status.message(), "", {}, action.worker});
  found->second->Close(action.status);
  streams_.erase(found);
}

void Engine::Do(const Append& action) {
  appends_.push_back(action);
  work_.notify_one();
}

void Engine::Do(const AskReferee& action) {
  questions_.push_back(action);
  doubt_.notify_one();
}

void Engine::Do(const LogEvent& action) {
  v1::Event event = action.event;
  event.set_unix_milliseconds(UnixMilliseconds());
  if (event.message().size() > kLongestEvent) event.mutable_message()->resize(kLongestEvent);
  ++events_[event.kind()];
  unsaved_.push_back(event);
  SaveEvents();
  WriteLog(LineOf(event));
}

// What a full disk does not take is kept for later, up to a bound.
void Engine::SaveEvents() {
  while (!unsaved_.empty()) {
    const Status saved = catalogue_->AddEvent(unsaved_.front());
    if (!saved.ok()) {
      if (unsaved_.size() == 1) Complain(saved);
      break;
    }
    unsaved_.pop_front();
  }
  if (unsaved_.size() > kUnsavedKept) unsaved_.pop_front();
}

void Engine::Do(const JobChanged& action) {
  const auto state = core_.Job(action.job);
  if (!state) return;
  if (state->state() != v1::JobState::RUNNING) store_->StopClock(action.job);
  if (action.stepped) {
    std::vector<v1::JobUpdate>& updates = updates_[action.job];
    // The end of a job comes as updates of its last step.
    if (updates.empty() || updates.back().step() < state->step())
      WriteLog(LineOf(action.job, state->latest()));
    updates.push_back(state->latest());
  }
  // Steps, and that there are no more, are in the journal; other changes of state nowhere else.
  Complain(SaveState(*state, !action.stepped));
  news_.notify_all();
}

Status Engine::SaveState(const v1::JobState& state, bool durably) {
  std::string encoded = state.SerializeAsString();
  std::string& stored = stored_[state.job_id()];
  if (stored == encoded) return {};
  const Status saved = durably ? catalogue_->PutJobDurably(state) : catalogue_->PutJob(state);
  if (saved.ok()) {
    stored = std::move(encoded);
    unstored_.erase(state.job_id());
  } else {
    unstored_.insert(state.job_id());
  }
  return saved;
}

// What a full disk did not take is tried again.
void Engine::SaveUnstored() {
  for (const std::string& job : std::set(unstored_)) Complain(SaveState(*core_.Job(job), true));
}

void Engine::Do(const WorkerChanged& action) { Complain(catalogue_->PutWorker(action.worker)); }

void Engine::Do(const Struck& action) {
  Complain(catalogue_->PutStrikes(action.name, action.count));
}

void Engine::Complain(const Status& status) {
  if (!status.ok()) WriteLog({LogLevel::kError, "catalogue_failed", status.message()});
}

// ---- Threads -----------------------------------------------------------------------------------

void Engine::WriteJournals(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (work_.wait(lock, stop, [this] { return !appends_.empty(); })) {
    const Append append = std::move(appends_.front());
    appends_.pop_front();
    lock.unlock();
    const Status status = store_->Append(append.job, append.record);
    lock.lock();
    if (stopping_) return;
    Do(status.ok() ? core_.Appended(Now(), append.job)
                   : core_.AppendFailed(Now(), append.job, status));
  }
}

void Engine::Arbitrate(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (doubt_.wait(lock, stop, [this] { return !questions_.empty(); })) {
    const AskReferee question = std::move(questions_.front());
    questions_.pop_front();
    lock.unlock();
    const StatusOr<Finding> finding = referee_.Judge(question, stop);
    lock.lock();
    if (stopping_) return;
    Do(core_.RefereeSaid(Now(), question.job, question.step, question.range, finding));
  }
}

void Engine::Tick(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  for (int count = 1; !stop.stop_requested(); ++count) {
    pause_.wait_for(lock, stop, kTick, [] { return false; });
    if (stopping_) return;
    Do(core_.Tick(Now()));
    SaveEvents();
    if (count % kTicksBetweenWorkerRecords != 0) continue;
    SaveUnstored();
    Complain(catalogue_->PutWorkers(core_.Workers()));
  }
}

}  // namespace hatchery::coordinator

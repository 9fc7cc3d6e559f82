// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_coordinator.h"

#include <algorithm>

#include "services/common/checkpoint.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/journal_scan.h"
#include "services/common/replay.h"
#include "services/common/sha256.h"
#include "tests/simulation/sim_worker.h"

namespace hatchery::simulation {

using namespace coordinator;  // NOLINT: this is its shell

SimCoordinator::SimCoordinator(World& world) : world_(world) {
  CoreOptions options;
  options.audit_share = world.plan.audit_share;
  options.audit_seed = static_cast<uint32_t>(world.random.Next());
  options.ticket_secret = std::to_string(world.random.Next());
  options.strikes = world.strikes;
  core_ = std::make_unique<Core>(options);
}

StatusOr<std::unique_ptr<SimCoordinator>> SimCoordinator::Start(World& world) {
  std::unique_ptr<SimCoordinator> process(new SimCoordinator(world));
  HATCHERY_ASSIGN_OR_RETURN(process->store_, JobStore::Open(world.disk, world.directory));
  process->referee_ = std::make_unique<Referee>(world.disk, *process->store_,
                                                BackendOptions{.name = "cpu", .threads = 1});
  HATCHERY_ASSIGN_OR_RETURN(const auto found, FindJobs(*process->store_, world.catalogue));
  // Ids of workers must not come twice, for the log's sake.
  process->next_worker_ = world.life() * 1000 + 1;
  for (const auto& [id, known] : found) {
    auto job = RecoverJob(*process->store_, id, known);
    if (!job.ok() && world.disk.failing) return job.status();  // somebody starts it again
    if (!job.ok()) {
      world.Trace("job " + id + " is left alone: " + job.status().message());
      continue;
    }
    const std::string journal = process->store_->Run(id).journal_path();
    if (const auto file = world.disk.OpenRead(journal);
        !world.lied && !job->record.damaged && file.ok() &&
        *(*file)->Size() > world.disk.DurableBytes(journal).size())
      world.Fail("job " + id + " was recovered from what is not durable");
    // Whoever wrote these may have died before it could say where they end.
    for (uint32_t step = 0; step < job->record.step; ++step)
      world.commit_ends[id].try_emplace(step, 0);
    world.Trace("recovered job " + id + " at step " + std::to_string(job->record.step) +
                (job->record.reason.empty() ? "" : ": " + job->record.reason));
    process->recovered_.push_back(std::move(*job));
  }
  return process;
}

void SimCoordinator::Begin() {
  for (RecoveredJob& job : recovered_) Do(core_->JobRecovered(Clock(), std::move(job.record)));
  recovered_.clear();
  if (!world_.submitted.empty() && !Job() && !world_.lied)
    world_.Fail("job " + world_.submitted + ", which was submitted, is gone");
  Tick();
}

void SimCoordinator::Later(int64_t milliseconds, std::function<void()> run) {
  world_.After(milliseconds, [this, &world = world_, life = world_.life(), run = std::move(run)] {
    if (world.life() == life && world.coordinator() == this) run();
  });
}

void SimCoordinator::Tick() {
  Do(core_->Tick(Clock()));
  JudgeOffers();
  Later(100, [this] { Tick(); });
}

// ---- Workers -----------------------------------------------------------------------------------

void SimCoordinator::Connected(const StreamPtr& stream) {
  stream->id = std::string("w").append(std::to_string(next_worker_++));
  streams_[stream->id] = stream;
  if (world_.plan.liar && stream->worker + 1 == world_.plan.workers) {
    liars_.insert(stream->id);
    lent_.clear();  // what an older stream of it had
  }
  Do(core_->WorkerConnected(Clock(), stream->id, 0));
}

void SimCoordinator::Said(const StreamPtr& stream, const v1::WorkerMessage& message) {
  if (!streams_.contains(stream->id)) return;
  if (world_.tracing())
    world_.Trace("  " + stream->id + " -> " + message.ShortDebugString().substr(0, 160));
  if (message.has_result() && stream->lies.contains(message.result().lease_id()))
    HeardLie(message.result());
  Do(core_->WorkerSaid(Clock(), stream->id, message));
}

// ---- Lies --------------------------------------------------------------------------------------

// Whether the first worker, which no fault strikes, could give a second opinion now.
bool SimCoordinator::Watched() const {
  const auto job = Job();
  for (const v1::WorkerState& worker : core_->Workers()) {
    const auto at = streams_.find(worker.worker_id());
    if (at == streams_.end() || at->second->worker != 0 || !job) continue;
    const bool ready = worker.state() == "idle" || worker.state() == "working";
    return ready && worker.job_id() == job->job_id() && worker.step() + 1 >= job->step();
  }
  return false;
}

void SimCoordinator::HeardLie(const v1::Result& result) {
  const auto job = Job();
  if (!job || result.job_id() != job->job_id() || result.step() != job->step()) return;
  if (!Watched())
    unaudited_.insert({result.job_id(), result.step()});
  else if (lent_.erase(result.lease_id()) == 1 &&  // the first time that it comes
           result.digest() == world_.lab.truth()[result.step()]->digest)
    lied_.insert({result.job_id(), result.step()});
}

void SimCoordinator::NoteLies(const v1::Event& event) {
  if (event.kind() == "shard_disputed") lied_.erase({event.job_id(), event.step()});
  // All work on the step, or all of the liar, is dropped then.
  static const std::set<std::string> kDrops = {"paused", "cancelled", "digest_disputed",
                                               "quarantined", "expelled"};
  if (kDrops.contains(event.kind())) lied_.clear();
  if (event.kind() != "audit_skipped" || !liars_.contains(event.worker_id())) return;
  if (event.message().starts_with("nobody is there") && Watched())
    world_.Fail("a result of a liar was not audited though an honest worker was there");
  unaudited_.insert({event.job_id(), event.step()});
}

void SimCoordinator::CheckDisputed(const StepOf& step) const {
  if (lied_.contains(step) && !unaudited_.contains(step))
    world_.Fail("step " + std::to_string(step.second) +
                " is done, and nobody disputed a lie about it");
}

void SimCoordinator::WrittenWrong(const StepOf& step, const std::string& what) {
  if (unaudited_.contains(step)) return world_.LieStands(step.second);
  world_.Fail(what);
}

void SimCoordinator::Disconnected(const StreamPtr& stream, const std::string& reason) {
  stream->coordinator_open = false;
  if (streams_.erase(stream->id) == 1) Do(core_->WorkerDisconnected(Clock(), stream->id, reason));
}

StatusOr<std::string> SimCoordinator::FetchCheckpoint(const std::string& job) const {
  const auto state = core_->Job(job);
  if (!state) return NotFound("no job " + job);
  // As streaming.h does, which keeps the journal's digests in memory.
  const RunDir run = store_->Run(job);
  const auto journal = ScanJournal(world_.disk, run.journal_path());
  const auto agrees = [&](const Checkpoint& checkpoint) -> Status {
    const auto digest = journal.ok() ? journal->DigestAt(checkpoint.step) : std::nullopt;
    if (!digest || *digest == checkpoint.digest) return {};
    return DataLoss("a checkpoint contradicts the journal");
  };
  HATCHERY_ASSIGN_OR_RETURN(const auto stored, run.NewestSound(state->step(), agrees));
  if (!stored) return NotFound("no checkpoint yet");
  return stored->bytes;
}

StatusOr<std::vector<v1::Commit>> SimCoordinator::FetchCommits(const std::string& job,
                                                               uint32_t from) const {
  const auto state = core_->Job(job);
  if (!state) return NotFound("no job " + job);
  std::vector<v1::Commit> commits;
  HATCHERY_ASSIGN_OR_RETURN(const auto journal,
                            JournalReader::Open(world_.disk, store_->Run(job).journal_path()));
  HATCHERY_RETURN_IF_ERROR(
      VisitCommits(*journal, state->step(), [&](const CommitRecord& record) -> Status {
        if (record.commit.step < from) return {};
        commits.push_back(CommitToProto(record.commit, record.digest_before));
        CheckAnnounced(job, commits.back());
        return {};
      }));
  return commits;
}

void SimCoordinator::Offer(const std::string& job, uint32_t step, const std::string& ticket,
                           std::string bytes) {
  const auto checkpoint = DecodeCheckpoint(bytes, "an offered checkpoint");
  if (!checkpoint.ok() || checkpoint->step != step) return;
  const Sha256Hash hash = Sha256Of(bytes);
  offers_.push_back({job, step, std::move(bytes), {hash.begin(), hash.end()}});
  Do(core_->CheckpointOffered(Clock(), job, step, ticket, DigestToBytes(checkpoint->digest),
                              offers_.back().sha256));
  JudgeOffers();
}

void SimCoordinator::JudgeOffers() {
  for (size_t left = offers_.size(); left > 0; --left) {
    Offered offer = std::move(offers_.front());
    offers_.pop_front();
    const Core::Belief belief = core_->CheckpointBelief(offer.job, offer.step, offer.sha256);
    if (belief == Core::Belief::kOpen) {
      offers_.push_back(std::move(offer));
    } else if (belief == Core::Belief::kRefuted) {
      Do(core_->CheckpointFailed(Clock(), offer.job, offer.step, offer.sha256,
                                 DataLoss("refuted")));
    } else if (belief == Core::Belief::kBelieved) {
      const auto checkpoint = DecodeCheckpoint(offer.bytes, "believed");
      if (checkpoint->weights != world_.lab.truth()[offer.step]->bytes)
        world_.Fail("a wrong checkpoint of step " + std::to_string(offer.step) + " was believed");
      // Meanwhile anything may happen: nothing is locked while a file is written.
      const int64_t takes = world_.random.Between(1, 3000);
      world_.Trouble(takes);
      Later(takes, [this, offer = std::move(offer)] { Keep(offer); });
    }
  }
}

void SimCoordinator::Keep(const Offered& offer) {
  const uint32_t keep = core_->Job(offer.job)->job().checkpoints_kept();
  const Status stored = store_->Run(offer.job).StoreCheckpoint(offer.step, offer.bytes, keep);
  Do(stored.ok() ? core_->CheckpointStored(Clock(), offer.job, offer.step)
                 : core_->CheckpointFailed(Clock(), offer.job, offer.step, offer.sha256, stored));
}

// ---- People ------------------------------------------------------------------------------------

void SimCoordinator::Submit() {
  JobRecord record;
  const auto id = store_->NewId(core_->Jobs());
  if (!id.ok()) return;
  const auto digest = store_->Create(*id, world_.lab.job());
  if (!digest.ok()) return world_.Trace("submission failed: " + digest.status().message());
  record.id = *id;
  record.job = world_.lab.job();
  record.spec = world_.lab.spec();
  record.initial_digest = DigestToBytes(*digest);
  world_.submitted = *id;
  Do(core_->JobSubmitted(Clock(), std::move(record)));
}

std::optional<v1::JobState> SimCoordinator::Job() const { return core_->Job(world_.submitted); }

Status SimCoordinator::Pause() {
  auto actions = core_->Pause(Clock(), Job()->job_id());
  if (actions.ok()) Do(*actions);
  return actions.status();
}

Status SimCoordinator::Cancel() {
  auto actions = core_->Cancel(Clock(), Job()->job_id());
  if (actions.ok()) Do(*actions);
  return actions.status();
}

Status SimCoordinator::Resume() {
  auto actions = core_->Resume(Clock(), Job()->job_id());
  if (actions.ok()) Do(*actions);
  return actions.status();
}

// ---- What the core says ------------------------------------------------------------------------

void SimCoordinator::Do(const Core::Actions& actions) {
  for (const Action& action : actions) std::visit([this](const auto& a) { Do(a); }, action);
}

void SimCoordinator::Do(const Send& action) {
  const auto at = streams_.find(action.worker);
  if (at == streams_.end()) return;
  const StreamPtr stream = at->second;
  const v1::CoordinatorMessage& message = action.message;
  if (message.has_assign()) stream->job = message.assign().job_id();
  if (message.has_commit()) CheckAnnounced(stream->job, message.commit());
  if (liars_.contains(action.worker)) {
    if (message.has_lease()) lent_.insert(message.lease().lease_id());
    if (message.has_revoke()) lent_.erase(message.revoke().lease_id());
    if (message.has_assign() || message.has_release()) lent_.clear();
  }
  // What begins or ends a job for a worker comes once and in its place: gRPC sees to that.
  const bool work = !action.message.has_welcome() && !action.message.has_assign() &&
                    !action.message.has_release();
  world_.Carry(stream, true, work, [&world = world_, stream, message = action.message] {
    world.worker(stream->worker).Received(stream, message);
  });
}

void SimCoordinator::CheckAnnounced(const std::string& job, const v1::Commit& commit) const {
  const CommitRecord& truth = world_.lab.commits()[commit.step()];
  if (commit.SerializeAsString() !=
      CommitToProto(truth.commit, truth.digest_before).SerializeAsString())
    world_.Fail("commit " + std::to_string(commit.step()) + " is not the one-process run's");
  const auto& ends = world_.commit_ends[job];
  const auto end = ends.find(commit.step());
  const auto durable = world_.disk.DurableBytes(store_->Run(job).journal_path()).size();
  if (!world_.lied && (end == ends.end() || durable < end->second))
    world_.Fail("commit " + std::to_string(commit.step()) + " was announced before it was durable");
}

void SimCoordinator::Do(const CloseWorker& action) {
  const auto at = streams_.find(action.worker);
  if (at == streams_.end()) return;
  const StreamPtr stream = at->second;
  stream->coordinator_open = false;
  streams_.erase(at);
  world_.Carry(stream, true, false, [&world = world_, stream, status = action.status] {
    world.CloseAtWorker(stream, status);
  });
}

void SimCoordinator::Do(const Append& action) {
  if (world_.bug == Bug::kEarlyAnnounce)
    Later(0, [this, action] { Do(core_->Appended(Clock(), action.job)); });
  appends_.push_back(action);
  WriteNext();
}

void SimCoordinator::WriteNext() {
  if (writing_ || appends_.empty()) return;
  writing_ = true;
  Later(world_.random.Between(1, 30), [this] {
    const Append append = std::move(appends_.front());
    appends_.pop_front();
    const Status status = store_->Append(append.job, append.record);
    Written(append, status);
    writing_ = false;
    if (world_.bug != Bug::kEarlyAnnounce)
      Do(status.ok() ? core_->Appended(Clock(), append.job)
                     : core_->AppendFailed(Clock(), append.job, status));
    WriteNext();
  });
}

void SimCoordinator::Written(const Append& append, const Status& status) {
  if (!status.ok()) return world_.Trace("append failed: " + status.message());
  const auto* commit = std::get_if<CommitRecord>(&append.record);
  if (commit == nullptr) {
    const auto& closing = std::get<ClosingRecord>(append.record);
    CheckDisputed({append.job, closing.step});
    if (!(closing == world_.lab.closing()))
      WrittenWrong({append.job, closing.step},
                   "the run was closed with another digest or held-out measure");
    return;
  }
  const uint32_t step = commit->commit.step;
  CheckDisputed({append.job, step});
  if (!(*commit == world_.lab.commits()[step]))
    WrittenWrong({append.job, step},
                 "commit " + std::to_string(step) + " was made that is not the one-process run's");
  const auto file = world_.disk.OpenRead(store_->Run(append.job).journal_path());
  if (file.ok()) world_.commit_ends[append.job][step] = *(*file)->Size();
}

void SimCoordinator::Do(const AskReferee& action) {
  Later(world_.random.Between(5, 500), [this, action] {
    const auto finding = referee_->Judge(action, {});
    Do(core_->RefereeSaid(Clock(), action.job, action.step, action.range, finding));
  });
}

void SimCoordinator::Do(const LogEvent& action) {
  const v1::Event& event = action.event;
  world_.Saw(event.kind());
  NoteLies(event);
  world_.Trace("coordinator: " + event.worker_id() + " step " + std::to_string(event.step()) + " " +
               event.kind() + ": " + event.message());
  if (event.kind() != "quarantined" && event.kind() != "expelled") return;
  const auto at = streams_.find(event.worker_id());
  if (at != streams_.end() && !at->second->suspect)
    world_.Fail("an honest worker was " + event.kind() + ": " + event.message());
}

void SimCoordinator::Do(const JobChanged& action) {
  const auto state = core_->Job(action.job);
  if (!state) return;
  world_.catalogue_before = world_.catalogue;
  auto& catalogue = world_.catalogue;
  const auto at = std::find_if(catalogue.begin(), catalogue.end(),
                               [&](const v1::JobState& job) { return job.job_id() == action.job; });
  (at == catalogue.end() ? catalogue.emplace_back() : *at) = *state;
}

}  // namespace hatchery::simulation

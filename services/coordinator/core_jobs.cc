// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Jobs: which one runs, and its way from step to step.
#include <algorithm>
#include <cassert>
#include <utility>

#include "services/common/convert.h"
#include "services/common/counted.h"
#include "services/common/job.h"
#include "services/common/replay.h"
#include "services/coordinator/core.h"
#include "services/coordinator/progress.h"

namespace hatchery::coordinator {

StatusOr<Core::Run*> Core::Find(const std::string& job) {
  const auto at = runs_.find(job);
  if (at == runs_.end())
    return NotFound("no job " + job + "; `hatchery jobs` lists those there are")
        .About("job/" + job);
  return &at->second;
}

void Core::AddRun(JobRecord record) {
  assert(!runs_.contains(record.id));
  Run& run = runs_[record.id];
  run.age = next_age_++;
  run.record = std::move(record);
  SetState(run, run.record.state);
  const JobRecord& r = run.record;
  // Nobody remembers how many agreed on them.
  for (auto& [step, digest] : std::exchange(run.record.digests, {}))
    run.digests[step] = {std::move(digest), 1};
  run.digests[0] = {r.initial_digest, 2};
  if (!r.closing_digest.empty()) run.digests[r.step] = {r.closing_digest, 1};
  if (!r.closing_digest.empty() && !r.final_checkpoint) run.checkpoint_due = true;
}

void Core::SetState(Run& run, v1::JobState::State state) {
  run.record.state = state;
  if (run.runnable())
    runnable_.insert(run.record.id);
  else
    runnable_.erase(run.record.id);
}

Core::Run* Core::Chosen() {
  Run* chosen = nullptr;
  for (const std::string& id : runnable_) {
    Run& run = runs_.at(id);
    const auto rank = [](const Run& r) {
      return std::pair(-int64_t{r.record.job.priority()}, r.age);
    };
    if (chosen == nullptr || rank(run) < rank(*chosen)) chosen = &run;
  }
  return chosen;
}

// Puts every proven worker on the job that runs, and work into every idle worker's hands.
void Core::Drive() {
  Run* chosen;
  // One whose last checkpoint was stored while it was paused has nothing left to do.
  while ((chosen = Chosen()) != nullptr && chosen->complete()) FinishRun(*chosen);
  for (const std::string& id : runnable_) {
    Run& run = runs_.at(id);
    if (&run == chosen || run.record.state != v1::JobState::RUNNING) continue;
    ReleaseWorkers(run, "a job of higher priority runs");
    SetState(run, v1::JobState::QUEUED);
    Changed(run);
  }
  if (chosen == nullptr) return;
  Run& run = *chosen;
  if (run.record.state != v1::JobState::RUNNING) {
    SetState(run, v1::JobState::RUNNING);
    Changed(run);
  }
  for (const std::string& id : std::exchange(idle_, {})) Assign(id, workers_.at(id), run, false);
  AskCheckpoint(run);
  JudgeOffer(run);
  if (!run.work && !run.pending && run.record.closing_digest.empty()) StartStep(run);
  Settle(run);
  if (run.runnable()) Lend(run);
}

void Core::Assign(const std::string& id, Worker& worker, Run& run, bool reload) {
  ReturnLeases(id, worker);
  if (run.work) run.work->votes.Withdraw(id);
  worker.phase = Phase::kLoading;
  if (worker.job != run.record.id) worker.load_failures = 0;
  worker.job = run.record.id;
  worker.step = 0;
  strength_.reset();
  worker.lagging = false;
  v1::CoordinatorMessage message;
  v1::Assign& assign = *message.mutable_assign();
  assign.set_job_id(run.record.id);
  *assign.mutable_job() = run.record.job;
  assign.set_step(run.record.step);
  assign.set_reload(reload);
  Say(id, std::move(message));
}

void Core::ReleaseWorkers(Run& run, const std::string& reason) {
  for (auto& [id, worker] : workers_) {
    if (worker.job != run.record.id) continue;
    worker.phase = Phase::kIdle;
    idle_.insert(id);
    worker.job.clear();
    worker.leases.clear();
    v1::CoordinatorMessage message;
    message.mutable_release()->set_job_id(run.record.id);
    message.mutable_release()->set_reason(reason);
    Say(id, std::move(message));
  }
  strength_.reset();
  run.work.reset();
  run.ask.reset();
  run.step_started = -1;
}

void Core::PauseRun(Run& run, const std::string& reason) {
  ReleaseWorkers(run, reason.empty() ? "paused" : "paused: " + reason);
  SetState(run, v1::JobState::PAUSED);
  run.record.reason = reason;
  Log(run.record.id, "", run.record.step, "paused", reason.empty() ? "paused" : reason);
  Changed(run);
}

void Core::StartStep(Run& run) {
  const v1::Job& job = run.record.job;
  const uint32_t step = run.record.step;
  const bool last = step >= job.steps();
  // Without held-out data the closing step lends one empty range, for the digest alone.
  const uint32_t streams = last && !HasHeldOut(job)         ? 1
                           : last || ValidatesAt(job, step) ? job.held_out_streams()
                                                            : 0;
  run.work.emplace(last ? 0 : run.record.spec.pairs(), streams);
  run.marks = {};
  if (step == 0) run.work->digest = run.record.initial_digest;
  if (run.step_started < 0) run.step_started = now_;
  for (const auto& [id, worker] : workers_)
    if (Works(worker, run)) hungry_.insert(id);
}

void Core::FinishStep(Run& run) {
  const v1::Job& job = run.record.job;
  const uint32_t step = run.record.step;
  const auto digest = DigestFromBytes(run.work->digest);
  assert(digest.ok());
  std::optional<HeldOutSums> held_out;
  if (HasHeldOut(job)) held_out = run.work->HeldOutTotal();
  if (step >= job.steps()) {
    run.pending = ClosingRecord{step, *digest, held_out};
  } else {
    CommitRecord record;
    record.digest_before = *digest;
    record.scored_tokens = TokensPerStep(job);
    record.held_out = held_out;
    std::vector<uint8_t> trits;
    std::vector<int32_t> scores;
    for (const auto& [place, part] : run.work->parts) {
      trits.insert(trits.end(), part.trits.begin(), part.trits.end());
      scores.insert(scores.end(), part.scores.begin(), part.scores.end());
      record.score_sum += part.score_sum;
    }
    record.commit = run.record.spec.fitness == FitnessRule::kSign
                        ? MakeSignCommit(run.record.spec, step, std::move(trits))
                        : MakeNormalizedCommit(run.record.spec, step, scores);
    record.nonzero_pairs = NonzeroPairs(record.commit, run.record.spec.pairs());
    run.pending = std::move(record);
  }
  run.marks.agreed = now_;
  run.digests[step] = {run.work->digest, run.work->votes.voices()};
  if (run.digests.size() > kDigestsKept) run.digests.erase(run.digests.begin());
  EmitAppend(run);
}

void Core::EmitAppend(Run& run) {
  run.appending = true;
  actions_.push_back(Append{run.record.id, *run.pending});
}

Core::Actions Core::Appended(int64_t now, const std::string& job) {
  now_ = now;
  const auto at = runs_.find(job);
  if (at == runs_.end() || !at->second.appending) return Take();
  Run& run = at->second;
  const auto record = *std::exchange(run.pending, std::nullopt);
  run.appending = false;
  run.work.reset();
  if (const auto* commit = std::get_if<CommitRecord>(&record)) {
    CountStep(run, *commit);
    Announce(run, *commit);
  } else {
    const auto& closing = std::get<ClosingRecord>(record);
    run.record.closing_digest = DigestToBytes(closing.digest);
    AddClosing(closing, run.record.latest);
    run.checkpoint_due = true;
    run.ask.reset();  // an older one matters no more
    Log(job, "", closing.step, "closed", "final digest " + FormatDigest(closing.digest));
    Changed(run, true);
  }
  return Take();
}

void Core::Announce(Run& run, const CommitRecord& record) {
  ++run.record.step;
  UpdateProgress(run, record);
  v1::CoordinatorMessage message;
  *message.mutable_commit() = CommitToProto(record.commit, record.digest_before);
  for (const auto& [id, worker] : workers_)
    if (worker.job == run.record.id) Say(id, message);
  const uint32_t every = run.record.job.checkpoint_every();
  if (every != 0 && run.record.step % every == 0 && run.record.step < run.record.job.steps())
    run.checkpoint_due = true;
  Changed(run, true);
}

void Core::UpdateProgress(Run& run, const CommitRecord& record) {
  v1::JobUpdate& latest = run.record.latest;
  latest = UpdateOf(record, run.record.job, latest);
  if (run.step_started >= 0)
    latest.set_tokens_per_second(
        1000.0 * static_cast<double>(record.scored_tokens) /
        static_cast<double>(std::max<int64_t>(1, now_ - run.step_started)));
  run.step_started = run.record.state == v1::JobState::RUNNING ? now_ : -1;
}

Core::Actions Core::AppendFailed(int64_t now, const std::string& job, const Status& status) {
  now_ = now;
  const auto at = runs_.find(job);
  if (at == runs_.end() || !at->second.appending) return Take();
  Run& run = at->second;
  run.appending = false;
  Log(job, "", run.record.step, "append_failed", status.message());
  if (run.runnable()) PauseRun(run, status.message());
  return Take();
}

void Core::FinishRun(Run& run) {
  ReleaseWorkers(run, "finished");
  SetState(run, v1::JobState::FINISHED);
  run.checkpoint_due = false;
  Log(run.record.id, "", run.record.step, "finished",
      "finished after " + Counted(run.record.step, "step"));
  Changed(run, true);
}

}  // namespace hatchery::coordinator

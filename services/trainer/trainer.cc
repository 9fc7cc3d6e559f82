// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/trainer/trainer.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <vector>

#include "kernels/weight_statistics.h"
#include "services/common/checkpoint.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/replay.h"
#include "services/common/run_events.h"

namespace hatchery {
namespace {

EventRecord EventNow(uint32_t step, std::string kind, std::string text) {
  EventRecord event;
  event.unix_milliseconds = UnixMilliseconds();
  event.step = step;
  event.kind = std::move(kind);
  event.text = std::move(text);
  return event;
}

}  // namespace

StatusOr<std::unique_ptr<Trainer>> Trainer::Open(Disk& disk, const std::string& directory,
                                                 const v1::Job& job, Replica& replica,
                                                 TrainerOptions options, std::stop_token stop) {
  HATCHERY_RETURN_IF_ERROR(ValidateJob(job));
  std::unique_ptr<Trainer> trainer(new Trainer(disk, directory, job, replica, std::move(options)));
  HATCHERY_RETURN_IF_ERROR(trainer->run_.Create());
  HATCHERY_ASSIGN_OR_RETURN(trainer->lock_, disk.Lock(directory, "trainer"));
  HATCHERY_RETURN_IF_ERROR(trainer->Start(std::move(stop)));
  return trainer;
}

Status Trainer::Start(std::stop_token stop) {
  HATCHERY_RETURN_IF_ERROR(run_.HasJournal() ? Resume(std::move(stop)) : Create());
  HATCHERY_ASSIGN_OR_RETURN(digest_, replica_->DigestOfAll());
  return {};
}

Status Trainer::Create() {
  HATCHERY_RETURN_IF_ERROR(RestoreInitial(*disk_, run_, job_, *replica_));
  JournalHeader header;
  header.job = job_;
  header.software = "hatchery " HATCHERY_VERSION;
  HATCHERY_ASSIGN_OR_RETURN(header.initial_digest, replica_->DigestOfAll());
  HATCHERY_ASSIGN_OR_RETURN(journal_, JournalWriter::Create(*disk_, run_.journal_path(), header));
  return journal_->Append(EventNow(0, kStartedEvent, "training on " + replica_->Description()));
}

Status Trainer::Resume(std::stop_token stop) {
  const auto visit = [this](const JournalRecord& record) -> Status {
    if (const auto* closing = std::get_if<ClosingRecord>(&record)) closing_ = *closing;
    return {};
  };
  HATCHERY_ASSIGN_OR_RETURN(
      journal_, JournalWriter::OpenForAppend(*disk_, run_.journal_path(),
                                             JournalWriter::TornTail::kTruncate, visit));
  if (const Status same = CheckSameRun(job_, journal_->header().job); !same.ok())
    return FailedPrecondition(run_.path() + " holds a run of another job: " + same.message() +
                              "; use another --out or the same job");
  const Status caught_up = CatchUp(journal_->next_step(), std::move(stop));
  if (caught_up.code() == StatusCode::kCancelled)
    return Cancelled("stopped at step " + std::to_string(step()) + " while catching up with " +
                     run_.journal_path() + "; run the same command again to go on");
  HATCHERY_RETURN_IF_ERROR(caught_up);
  if (journal_->closed()) return {};
  if (journal_->torn_bytes() != 0) {
    const std::string text =
        "cut off an incomplete record of " + std::to_string(journal_->torn_bytes()) + " bytes";
    Note(run_.journal_path() + ": " + text);
    HATCHERY_RETURN_IF_ERROR(journal_->Append(EventNow(step(), "torn_tail", text)));
  }
  HATCHERY_RETURN_IF_ERROR(journal_->Append(
      EventNow(step(), kResumedEvent, "training goes on, on " + replica_->Description())));
  Note("going on from step " + std::to_string(step()) + " of " + run_.path());
  return {};
}

// Brings the replica to the journal's step `step`: from the newest good checkpoint, or from
// nothing.
Status Trainer::CatchUp(uint32_t step, std::stop_token stop) {
  HATCHERY_ASSIGN_OR_RETURN(
      const auto start,
      run_.NewestSound(
          step, [this](const Checkpoint& checkpoint) { return CheckUsable(checkpoint); },
          [this](const std::string& path, const Status& why) {
            Note("not using " + path + ": " + why.message());
          }));
  final_stored_ = closing_ && start && start->checkpoint.step == step;
  if (!start) HATCHERY_RETURN_IF_ERROR(RestoreInitial(*disk_, run_, job_, *replica_));
  HATCHERY_ASSIGN_OR_RETURN(auto reader, JournalReader::Open(*disk_, run_.journal_path()));
  ReplayOptions options;
  options.until_step = step;
  options.start = start ? &start->checkpoint : nullptr;
  options.stop = std::move(stop);
  return Replay(*reader, *replica_, options).status();
}

Status Trainer::CheckUsable(const Checkpoint& checkpoint) const {
  if (!CheckSameRun(job_, checkpoint.job).ok()) return FailedPrecondition("it is of another job");
  if (!closing_ || checkpoint.step != closing_->step || checkpoint.digest == closing_->digest)
    return {};
  return DataLoss("its weights are not those that the journal ends with");
}

// A run that was finished before: its final checkpoint is written anew if it was lost since.
Status Trainer::Finished() {
  if (!(digest_ == closing_->digest))
    return DataLoss(run_.journal_path() + " ends with digest " + FormatDigest(closing_->digest) +
                    ", but its commits lead to " + FormatDigest(digest_) +
                    "; restore the file from a copy");
  Note(run_.path() + " is finished at step " + std::to_string(step()));
  if (final_stored_) return {};
  HATCHERY_RETURN_IF_ERROR(StoreCheckpointIfDue());
  Note("rebuilt " + run_.checkpoint_path(step()) + " from the journal");
  return {};
}

Status Trainer::Run(std::stop_token stop) {
  if (journal_->closed()) return Finished();
  started_ = marked_ = std::chrono::steady_clock::now();
  const Status status = RunToTheEnd(stop);
  if (status.code() != StatusCode::kCancelled) return status;
  HATCHERY_RETURN_IF_ERROR(MarkTime());
  return Cancelled("stopped at step " + std::to_string(step()) + " of " +
                   std::to_string(job_.steps()) + "; run the same command again to go on");
}

Status Trainer::RunToTheEnd(std::stop_token stop) {
  HATCHERY_ASSIGN_OR_RETURN(held_out_, Measure(stop));
  while (step() < job_.steps()) {
    HATCHERY_RETURN_IF_ERROR(Step(stop));
    const auto now = std::chrono::steady_clock::now();
    const auto since_start = std::chrono::duration_cast<std::chrono::milliseconds>(now - started_);
    if (now - marked_ >= TimeBetweenMarks(since_start)) HATCHERY_RETURN_IF_ERROR(MarkTime());
  }
  HATCHERY_RETURN_IF_ERROR(StoreCheckpointIfDue());
  HATCHERY_RETURN_IF_ERROR(MarkTime());
  ClosingRecord closing;
  closing.step = step();
  closing.digest = digest_;
  closing.held_out = held_out_;
  HATCHERY_RETURN_IF_ERROR(journal_->Append(closing));
  return journal_->Sync();
}

// Made durable with the next commit.
Status Trainer::MarkTime() {
  marked_ = std::chrono::steady_clock::now();
  return journal_->Append(EventNow(step(), kTimeEvent, ""));
}

Status Trainer::Step(std::stop_token stop) {
  const auto begin = std::chrono::steady_clock::now();
  HATCHERY_ASSIGN_OR_RETURN(const CommitRecord record, Evaluate(stop));
  // Durable before it changes anything.
  HATCHERY_RETURN_IF_ERROR(journal_->Append(record));
  HATCHERY_RETURN_IF_ERROR(journal_->Sync());
  std::vector<int8_t> before;
  if (options_.measure_update_rate) {
    HATCHERY_ASSIGN_OR_RETURN(before, replica_->Snapshot());
  }
  HATCHERY_RETURN_IF_ERROR(replica_->Apply(record.commit));
  HATCHERY_ASSIGN_OR_RETURN(digest_, replica_->DigestOfAll());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;

  StepReport report;
  if (options_.measure_update_rate) {
    HATCHERY_ASSIGN_OR_RETURN(const auto after, replica_->Snapshot());
    report.update_rate = static_cast<double>(CountChanged(before, after)) /
                         static_cast<double>(replica_->model().parameters());
  }
  HATCHERY_ASSIGN_OR_RETURN(held_out_, Measure(stop));
  if (step() < job_.steps()) HATCHERY_RETURN_IF_ERROR(StoreCheckpointIfDue());
  report.step = step();
  report.train_bits_per_byte = BitsPerByte(record.score_sum, record.scored_tokens);
  report.held_out = held_out_;
  report.tokens_per_second = static_cast<double>(record.scored_tokens) / seconds.count();
  report.alpha = record.commit.alpha / 65536.0;
  report.fitness_nonzero = static_cast<double>(record.nonzero_pairs) / replica_->spec().pairs();
  report.digest = digest_;
  if (options_.on_step) options_.on_step(report);
  return {};
}

StatusOr<CommitRecord> Trainer::Evaluate(std::stop_token stop) {
  const JobSpec& spec = replica_->spec();
  std::vector<int32_t> scores(spec.population);
  HATCHERY_RETURN_IF_ERROR(replica_->Evaluate(Shard{0, spec.pairs()}, stop, scores));
  CommitRecord record;
  record.commit = MakeCommit(spec, step(), scores);
  record.digest_before = digest_;
  record.score_sum = std::accumulate(scores.begin(), scores.end(), int64_t{0});
  record.scored_tokens = TokensPerStep(job_);
  record.nonzero_pairs = NonzeroPairs(record.commit, spec.pairs());
  // What was measured now belongs to the commit only where every run of the job has it: the final
  // measure goes into the closing record.
  if (ValidatesAt(job_, step())) record.held_out = held_out_;
  return record;
}

StatusOr<std::optional<HeldOutSums>> Trainer::Measure(std::stop_token stop) {
  const bool last = step() == job_.steps() && HasHeldOut(job_);
  if (!last && !ValidatesAt(job_, step())) return std::optional<HeldOutSums>();
  HATCHERY_ASSIGN_OR_RETURN(const HeldOutSums sums,
                            replica_->Validate(0, job_.held_out_streams(), stop));
  return std::optional<HeldOutSums>(sums);
}

Status Trainer::StoreCheckpointIfDue() {
  const uint32_t every = job_.checkpoint_every();
  if (step() != job_.steps() && (every == 0 || step() % every != 0)) return {};
  HATCHERY_ASSIGN_OR_RETURN(const auto weights, replica_->Snapshot());
  return run_.StoreCheckpoint(step(), EncodeCheckpoint(job_, step(), weights),
                              job_.checkpoints_kept());
}

void Trainer::Note(const std::string& text) const {
  if (options_.on_note) options_.on_note(text);
}

}  // namespace hatchery

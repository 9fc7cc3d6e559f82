// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/executor.h"

#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>

#include "services/common/checkpoint.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/known_answer.h"
#include "services/common/log.h"
#include "services/common/sha256.h"
#include "services/worker/metrics.h"
#include "services/worker/transfers.h"

namespace hatchery::worker {
namespace {

// That a checkpoint is wanted no more is nobody's fault: the job is over, or a newer one is there.
LogLevel LevelOfRefusal(StatusCode code) {
  switch (code) {
    case StatusCode::kFailedPrecondition:
    case StatusCode::kCancelled:
      return LogLevel::kInfo;
    case StatusCode::kUnavailable:
      return LogLevel::kWarning;
    default:
      return LogLevel::kError;
  }
}

}  // namespace

Executor::Executor(v1::WorkerService::Stub& stub, Loader& loader, ReplicaFactory create,
                   Chaos chaos, WorkerFigures& figures, EventQueue& events)
    : stub_(stub),
      loader_(loader),
      create_(std::move(create)),
      figures_(figures),
      events_(events),
      chaos_(std::move(chaos)),
      thread_([this](std::stop_token ended) { Loop(std::move(ended)); }) {}

Executor::~Executor() {
  Cancel();
  thread_.request_stop();
  thread_.join();
}

void Executor::Start(Work work) {
  {
    const std::lock_guard lock(mutex_);
    next_ = std::move(work);
    cancel_ = std::stop_source();
  }
  changed_.notify_one();
}

void Executor::Cancel() {
  std::stop_source cancel;
  {
    const std::lock_guard lock(mutex_);
    cancel = cancel_;
  }
  cancel.request_stop();  // outside the lock: it runs callbacks
}

void Executor::Loop(std::stop_token ended) {
  while (true) {
    Work work;
    std::stop_token stop;
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, ended, [this] { return next_.has_value(); })) return;
      work = *std::exchange(next_, std::nullopt);
      stop = cancel_.get_token();
    }
    // The order of Activity is that of Work.
    figures_.Turn(static_cast<Activity>(work.index()), MonotonicSeconds());
    Completed done = std::visit([&](const auto& kind) { return Do(kind, stop); }, work);
    figures_.Turn(Activity::kWait, MonotonicSeconds());
    figures_.step = done.step;
    events_.Push(std::move(done));
  }
}

Completed Executor::Do(const Prove& work, std::stop_token stop) {
  const StatusOr<core::Digest> digest = TrainKnownAnswer(work.task, work.data, create_, stop);
  if (!digest.ok()) return {.status = digest.status()};
  return {.digest = DigestToBytes(*digest)};
}

Completed Executor::Do(const Load& work, std::stop_token stop) {
  loaded_.reset();
  StatusOr<LoadedJob> loaded = loader_.Load(work.job_id, work.job, std::move(stop));
  if (!loaded.ok()) return {.status = loaded.status()};
  loaded_ = std::move(*loaded);
  Completed done = WithReplica({});
  done.round_pairs = loaded_->replica->RoundPairs();
  return done;
}

Completed Executor::Do(const CatchUp&, std::stop_token stop) {
  return WithReplica(loader_.CatchUp(*loaded_, std::move(stop)));
}

Completed Executor::Do(const Apply& work, std::stop_token) {
  const double start = MonotonicSeconds();
  Completed done = WithReplica(ApplyChecked(work.commit, *loaded_));
  const double now = MonotonicSeconds();
  if (done.status.ok()) figures_.Committed(now - start, now);
  return done;
}

Completed Executor::Do(const Evaluate& work, std::stop_token stop) {
  const auto start = std::chrono::steady_clock::now();
  Completed done = WithReplica({});
  done.status =
      work.lease.has_pairs()
          ? EvaluatePairs(work.lease.pairs(), std::move(stop), *done.result.mutable_scores())
      : work.lease.has_held_out()
          ? EvaluateHeldOut(work.lease.held_out(), std::move(stop), *done.result.mutable_held_out())
          : InvalidArgument("the lease names no work that this worker knows; is it too old?");
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  done.result.set_seconds(seconds.count());
  CountShard(work.lease, done.status, seconds.count());
  // Whatever happened to our memory, the digest tells what the result was computed on.
  if (done.status.ok()) done.status = TakeDigest();
  done.digest = DigestToBytes(loaded_->digest);
  return done;
}

void Executor::CountShard(const v1::Lease& lease, const Status& status, double seconds) {
  if (status.code() == StatusCode::kCancelled) return;  // nobody wants it any more
  if (!status.ok()) {
    ++figures_.shards_failed;
    return;
  }
  ++figures_.shards_done;
  figures_.Evaluated(seconds);
  if (!lease.has_pairs()) return;
  const uint64_t pairs = lease.pairs().end() - lease.pairs().begin();
  figures_.pairs += pairs;
  figures_.tokens += 2 * pairs * loaded_->replica->spec().window;
}

Status Executor::EvaluatePairs(const v1::PairRange& pairs, std::stop_token stop,
                               v1::ShardScores& out) {
  const JobSpec& spec = loaded_->replica->spec();
  if (pairs.begin() >= pairs.end() || pairs.end() > spec.pairs()) {
    return InvalidArgument("the job has pairs [0, " + std::to_string(spec.pairs()) + ")");
  }
  const Shard shard{pairs.begin(), pairs.end()};
  std::vector<int32_t> scores(size_t{2} * shard.pairs());
  Replica& replica = *loaded_->replica;
  HATCHERY_RETURN_IF_ERROR(chaos_.Before(replica.step(), replica, stop));
  HATCHERY_RETURN_IF_ERROR(replica.Evaluate(shard, std::move(stop), scores));
  out = ScoresToProto(spec, shard, scores);
  chaos_.After(replica.step(), out);
  return {};
}

Status Executor::EvaluateHeldOut(const v1::StreamRange& streams, std::stop_token stop,
                                 v1::HeldOutSums& out) {
  const uint32_t all = loaded_->replica->spec().held_out_streams;
  if (streams.begin() > streams.end() || streams.end() > all) {
    return InvalidArgument("the job has held-out streams [0, " + std::to_string(all) + ")");
  }
  // A job without held-out data asks for an empty range: only the digest is wanted.
  if (streams.begin() == streams.end()) return {};
  HATCHERY_ASSIGN_OR_RETURN(
      const HeldOutSums sums,
      loaded_->replica->Validate(streams.begin(), streams.end(), std::move(stop)));
  out = HeldOutToProto(sums);
  chaos_.After(loaded_->replica->step(), out);
  return {};
}

Status Executor::TakeDigest() {
  HATCHERY_ASSIGN_OR_RETURN(loaded_->digest, loaded_->replica->DigestOfAll());
  return {};
}

Completed Executor::Do(const Upload& work, std::stop_token) {
  StatusOr<std::vector<int8_t>> weights = loaded_->replica->Snapshot();
  if (!weights.ok()) return WithReplica(weights.status());
  std::string bytes = EncodeCheckpoint(loaded_->job, work.step, *weights);
  if (work.hash_only) {
    Completed done = WithReplica({});
    const Sha256Hash hash = Sha256Of(bytes);
    done.sha256.assign(hash.begin(), hash.end());
    return done;
  }
  // One upload at a time: a new one waits for the last, so at most one copy is in memory.
  if (upload_.joinable()) upload_.join();
  upload_ = std::jthread([this, work, bytes = std::move(bytes)](std::stop_token stop) {
    const Status sent =
        UploadCheckpoint(stub_, work.job_id, work.step, work.ticket, bytes, std::move(stop));
    if (!sent.ok()) {
      WriteLog({LevelOfRefusal(sent.code()), "checkpoint_refused",
                "the coordinator did not take the checkpoint: " + sent.message(), work.job_id,
                work.step});
    }
  });
  return WithReplica({});
}

Completed Executor::Do(const Close&, std::stop_token) {
  const IdleShare idle = figures_.idle_share();
  if (idle.steps != 0) {
    char text[120];
    std::snprintf(text, sizeof text,
                  "left the job after %llu whole steps; waited for work %.1f %% of them",
                  static_cast<unsigned long long>(idle.steps), 100 * idle.mean);
    WriteLog({LogLevel::kInfo, "job_left", text, loaded_ ? loaded_->id : "",
              loaded_ ? std::optional(loaded_->replica->step()) : std::nullopt});
  }
  figures_.LeftJob();
  loaded_.reset();
  return {};
}

Completed Executor::WithReplica(Status status) const {
  return {.status = std::move(status),
          .step = loaded_->replica->step(),
          .digest = DigestToBytes(loaded_->digest)};
}

}  // namespace hatchery::worker

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/job_feed.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

namespace hatchery {
namespace {

constexpr std::chrono::milliseconds kPause{500};  // before the coordinator is asked again

bool IsOver(v1::JobState::State state) {
  return state == v1::JobState::FINISHED || state == v1::JobState::CANCELLED;
}

void Pause(const std::stop_token& stop) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, stop, kPause, [] { return false; });
}

// What was told last, so that nothing is told twice: a coordinator repeats the newest update
// whenever a stream begins.
struct Told {
  uint32_t seen;  // commits
  std::optional<std::pair<uint32_t, v1::JobState::State>> last;
  bool lost = false;  // the coordinator does not answer
};

void TellBack(Told& told, const JobFeed& feed) {
  if (std::exchange(told.lost, false)) feed.on_note("the coordinator is back");
}

void TellLost(const Status& why, Told& told, const JobFeed& feed) {
  if (!std::exchange(told.lost, true)) feed.on_note(why.message() + "; waiting for it");
}

// One WatchJob call, until the stream ends for whatever reason.
grpc::Status FollowOnce(Online& online, const std::string& job_id, Told& told, const JobFeed& feed,
                        const std::stop_token& stop) {
  grpc::ClientContext context;
  const CancelOnStop cancel(stop, context);
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  request.set_from_step(told.seen);
  const auto reader = online.stub().WatchJob(&context, request);
  v1::JobUpdate update;
  while (reader->Read(&update)) {
    TellBack(told, feed);
    const std::pair now(update.step(), update.state());
    if (told.last != now) feed.on_update(update);
    told.seen = update.step();
    told.last = now;
  }
  return reader->Finish();
}

}  // namespace

StatusOr<v1::JobState> GetJob(Online& online, const std::string& job_id, std::stop_token stop) {
  v1::GetJobRequest request;
  request.set_job_id(job_id);
  return online.Call(&Online::Stub::GetJob, request, std::move(stop));
}

StatusOr<v1::JobState> FollowJob(Online& online, const std::string& job_id, uint32_t seen,
                                 const JobFeed& feed, const std::stop_token& stop) {
  Told told{seen, {}};
  for (; !stop.stop_requested(); Pause(stop)) {
    const grpc::Status ended = FollowOnce(online, job_id, told, feed, stop);
    if (stop.stop_requested()) break;
    // The stream may have ended with the job or with the coordinator; the job itself tells.
    StatusOr<v1::JobState> job = GetJob(online, job_id, stop);
    if (stop.stop_requested()) break;
    if (!job.ok()) {
      if (job.status().code() != StatusCode::kUnavailable) return job.status();
      TellLost(job.status(), told, feed);
      continue;
    }
    if (IsOver(job->state())) return job;
    TellBack(told, feed);
    if (!ended.ok() && ended.error_code() != grpc::StatusCode::UNAVAILABLE)
      return online.Explain(ended);
  }
  return Cancelled("no longer followed");
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/state_json.h"

#include <nlohmann/json.hpp>

#include "services/common/job.h"

namespace hatchery {
namespace {

using Json = nlohmann::ordered_json;

// Text of others may hold anything; JSON is UTF-8.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// `value`, or null where nothing was measured yet.
template <typename T>
Json IfMeasured(bool measured, T value) {
  return measured ? Json(value) : Json(nullptr);
}

Json UpdateJson(const v1::JobUpdate& u) {
  const bool trained = u.step() > 0, measured = u.validation_bits_per_byte() > 0;
  return {{"step", u.step()},
          {"steps", u.steps()},
          {"state", StateName(u.state())},
          {"train_bits_per_byte", IfMeasured(trained, u.train_bits_per_byte())},
          {"validation_bits_per_byte", IfMeasured(measured, u.validation_bits_per_byte())},
          {"validation_coarse_bits_per_byte",
           IfMeasured(measured, u.validation_coarse_bits_per_byte())},
          {"validation_accuracy", IfMeasured(measured, u.validation_accuracy())},
          {"validation_step", IfMeasured(measured, u.validation_step())},
          {"tokens_per_second", u.tokens_per_second()},
          {"alpha", u.alpha()},
          {"fitness_nonzero", u.fitness_nonzero()},
          {"digest_before", IfMeasured(trained, u.digest_before())},
          {"digest", IfMeasured(!u.digest().empty(), u.digest())},
          {"workers", u.workers()}};
}

}  // namespace

std::string StateName(v1::JobState::State state) {
  switch (state) {
    case v1::JobState::QUEUED:
      return "queued";
    case v1::JobState::RUNNING:
      return "running";
    case v1::JobState::PAUSED:
      return "paused";
    case v1::JobState::FINISHED:
      return "finished";
    case v1::JobState::CANCELLED:
      return "cancelled";
    default:
      return "unknown";
  }
}

std::string ToJson(const v1::JobState& job) {
  return Dump({{"job_id", job.job_id()},
               {"name", job.job().name()},
               {"state", StateName(job.state())},
               {"reason", job.reason()},
               {"step", job.step()},
               {"steps", job.job().steps()},
               {"priority", job.job().priority()},
               {"workers", job.workers()},
               {"submitted_unix_seconds", job.submitted_unix_seconds()},
               {"shards_audited", job.shards_audited()},
               {"shards_disputed", job.shards_disputed()},
               {"digests_disputed", job.digests_disputed()},
               {"latest", UpdateJson(job.latest())},
               {"job", Json::parse(JobToJson(job.job()), nullptr, false)}});
}

std::string ToJson(const v1::JobUpdate& update) { return Dump(UpdateJson(update)); }

std::string ToJson(const v1::WorkerState& worker) {
  return Dump({{"worker_id", worker.worker_id()},
               {"name", worker.name()},
               {"backend", worker.backend()},
               {"device", worker.device()},
               {"state", worker.state()},
               {"job_id", worker.job_id()},
               {"step", worker.step()},
               {"tokens_per_second", worker.tokens_per_second()},
               {"pairs_done", worker.pairs_done()},
               {"connected_unix_seconds", worker.connected_unix_seconds()}});
}

std::string ToJson(const v1::Event& event) {
  return Dump({{"unix_milliseconds", event.unix_milliseconds()},
               {"job_id", event.job_id()},
               {"worker_id", event.worker_id()},
               {"step", event.step()},
               {"kind", event.kind()},
               {"message", event.message()}});
}

}  // namespace hatchery

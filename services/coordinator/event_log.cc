// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/event_log.h"

#include <cstdio>
#include <set>
#include <string_view>

namespace hatchery::coordinator {
namespace {

LogLevel LevelOf(std::string_view kind) {
  static const std::set<std::string_view> kErrors = {"append_failed", "expelled", "quarantined",
                                                     "referee_failed"};
  static const std::set<std::string_view> kWarnings = {
      "checkpoint_failed", "digest_disputed", "lease_expired", "shard_disputed",
      "worker_ahead",      "worker_failure",  "worker_lags",   "worker_lost_job"};
  return kErrors.contains(kind)     ? LogLevel::kError
         : kWarnings.contains(kind) ? LogLevel::kWarning
                                    : LogLevel::kInfo;
}

}  // namespace

LogLine LineOf(const v1::Event& event) {
  LogLine line{LevelOf(event.kind()), event.kind(), event.message(),
               event.job_id(),        {},           event.worker_id()};
  if (!event.job_id().empty()) line.step = event.step();
  return line;
}

LogLine LineOf(const std::string& job, const v1::JobUpdate& update) {
  char text[96];
  std::snprintf(text, sizeof text, "train %.4f bits/byte, %.0f tokens/s",
                update.train_bits_per_byte(), update.tokens_per_second());
  return {LogLevel::kDebug, "committed", text, job, update.step()};
}

}  // namespace hatchery::coordinator

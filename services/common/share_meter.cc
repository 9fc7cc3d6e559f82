// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/share_meter.h"

#include <algorithm>

namespace hatchery {
namespace {

constexpr double kSeconds = 10;

}  // namespace

void ShareMeter::Add(double seconds, const std::vector<v1::WorkerState>& workers) {
  Sample& now = samples_.emplace_back();
  now.seconds = seconds;
  for (const v1::WorkerState& worker : workers) now.pairs[worker.worker_id()] = worker.pairs_done();
  // One that is older than the window stays, for the difference to span it.
  while (samples_.size() > 2 && samples_[1].seconds <= seconds - kSeconds) samples_.pop_front();
  if (samples_.size() < 2) return;
  const auto done = [&](const v1::WorkerState& worker) {
    const auto& before = samples_.front().pairs;
    const auto at = before.find(worker.worker_id());  // one that was not there began at nothing
    return worker.pairs_done() -
           (at == before.end() ? 0 : std::min(at->second, worker.pairs_done()));
  };
  std::map<std::string, uint64_t> of_job;
  for (const v1::WorkerState& worker : workers) of_job[worker.job_id()] += done(worker);
  shares_.clear();
  for (const v1::WorkerState& worker : workers) {
    const uint64_t all = of_job[worker.job_id()];
    if (!worker.job_id().empty() && all > 0)
      shares_[worker.worker_id()] = static_cast<double>(done(worker)) / static_cast<double>(all);
  }
}

std::optional<double> ShareMeter::Of(const v1::WorkerState& worker) const {
  const auto at = shares_.find(worker.worker_id());
  if (at == shares_.end()) return std::nullopt;
  return at->second;
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/time_left.h"

#include <algorithm>

#include "services/common/job.h"

namespace hatchery {
namespace {

constexpr size_t kSpeedOf = 20;  // updates

}  // namespace

std::optional<double> SecondsLeft(const v1::JobState& job,
                                  const std::vector<v1::JobUpdate>& updates) {
  const double tokens = static_cast<double>(TokensPerStep(job.job()));
  double seconds = 0, steps = 0;
  const auto add = [&](const v1::JobUpdate& update) {
    if (update.tokens_per_second() <= 0) return;
    seconds += tokens / update.tokens_per_second();
    ++steps;
  };
  for (size_t i = updates.size() - std::min(updates.size(), kSpeedOf); i < updates.size(); ++i)
    add(updates[i]);
  if (steps == 0) add(job.latest());
  if (job.state() != v1::JobState::RUNNING || steps == 0) return std::nullopt;
  return seconds / steps * (job.job().steps() - std::min(job.step(), job.job().steps()));
}

}  // namespace hatchery

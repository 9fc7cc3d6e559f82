// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/chaos.h"

#include <charconv>
#include <chrono>
#include <set>
#include <span>
#include <sstream>
#include <thread>

namespace hatchery::worker {

StatusOr<Chaos> Chaos::Parse(const std::string& text) {
  static const std::set<std::string> kKinds = {"flip", "lie", "stall", "garbage"};
  Chaos chaos;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t at = part.find('@');
    const char* const end = part.data() + part.size();
    uint32_t step = 0;
    const bool numbered = at != std::string::npos &&
                          std::from_chars(part.data() + at + 1, end, step).ptr == end &&
                          at + 1 < part.size();
    if (!numbered || !kKinds.contains(part.substr(0, at)))
      return InvalidArgument("--chaos takes flip, lie, stall or garbage with a step, as in flip@20,"
                             "lie@30; not '" + part + "'");
    chaos.from_[part.substr(0, at)] = step;
  }
  return chaos;
}

bool Chaos::Once(const std::string& what, uint32_t step) {
  const auto at = from_.find(what);
  if (at == from_.end() || step < at->second) return false;
  from_.erase(at);
  return true;
}

Status Chaos::Before(uint32_t step, Replica& replica, const std::stop_token& stop) {
  if (Once("flip", step)) {
    HATCHERY_ASSIGN_OR_RETURN(auto weights, replica.Snapshot());
    weights[0] = static_cast<int8_t>(weights[0] ^ 4);
    HATCHERY_RETURN_IF_ERROR(replica.Install(0, std::span(weights).first(8)));
  }
  if (Once("stall", step))
    while (!stop.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return {};
}

bool Chaos::Lies(uint32_t step) const {
  const auto lie = from_.find("lie");
  return lie != from_.end() && step >= lie->second;
}

void Chaos::After(uint32_t step, v1::HeldOutSums& sums) const {
  if (Lies(step)) sums.set_score(sums.score() - 1);
}

void Chaos::After(uint32_t step, v1::ShardScores& scores) {
  if (Lies(step)) {
    std::string& trits = *scores.mutable_trits();
    if (!trits.empty()) trits[0] = static_cast<char>(trits[0] == 0 ? 1 : 0);
    if (scores.scores_size() > 0) scores.set_scores(0, scores.scores(0) - 1);
    scores.set_score_sum(scores.score_sum() - 1);
  }
  if (Once("garbage", step)) scores.set_trits("\xff\xff");
}

}  // namespace hatchery::worker

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/plan.h"

#include <algorithm>

#include "tests/simulation/random.h"

namespace hatchery::simulation {
namespace {

constexpr int64_t kFaultsEnd = 45'000;  // milliseconds
constexpr uint32_t kJobs = 2;

constexpr const char* kNames[] = {
    "crash worker",   "stop worker",     "freeze worker", "slow worker",     "hang work",
    "flip bit",       "clock jump",      "crash coordinator", "power cut",   "disk full",
    "disk fails",     "disk lies",       "rot checkpoint", "rot journal", "partition",      "cut to worker",
    "cut from worker", "pause job", "cancel job"};

}  // namespace

const char* Name(FaultKind kind) { return kNames[static_cast<int>(kind)]; }

std::string Describe(const Fault& fault) {
  return std::string(Name(fault.kind)) + " at " + std::to_string(fault.at) + " ms for " +
         std::to_string(fault.duration) + " ms, worker " + std::to_string(fault.worker);
}

Plan MakePlan(uint64_t seed) {
  Random random(seed ^ 0x6861746368657279);
  Plan plan;
  plan.seed = seed;
  plan.job = static_cast<uint32_t>(random.Between(0, kJobs - 1));
  plan.workers = static_cast<uint32_t>(random.Between(1, 4));
  plan.liar = random.OneIn(8);
  if (plan.liar) plan.workers = static_cast<uint32_t>(random.Between(3, 5));
  plan.audit_share = plan.liar ? 1 : random.OneIn(2) ? 0.3 : 0;
  plan.hostile_streams = random.OneIn(4);
  plan.trouble_while_storing = random.OneIn(6);
  for (uint32_t i = 0; i < plan.workers; ++i) {
    plan.joins.push_back(plan.liar || random.OneIn(2) ? 0 : random.Between(0, 20'000));
    plan.clock_rates.push_back(random.OneIn(3) ? 0.5 + 0.01 * static_cast<double>(random.Between(0, 150)) : 1);
    plan.pair_times.push_back(random.OneIn(3) ? random.Between(20, 2000) : random.Between(100, 500));
  }
  // What fails in a run is of few kinds, so that kinds are seen alone and in pairs.
  if (plan.liar) {
    plan.lies_of_held_out = random.OneIn(2);
    plan.lies_of_pairs = !plan.lies_of_held_out || random.OneIn(2);
    if (random.OneIn(3)) return plan;  // and nothing else happens
  }
  std::vector<FaultKind> kinds;
  const auto all = static_cast<int64_t>(std::size(kNames));
  for (int64_t n = random.Between(1, 5); n > 0; --n)
    kinds.push_back(static_cast<FaultKind>(random.Between(0, all - 1)));
  for (int64_t n = random.Between(1, 12); n > 0; --n) {
    Fault fault{kinds[static_cast<size_t>(random.Between(0, static_cast<int64_t>(kinds.size()) - 1))]};
    fault.at = random.Between(0, kFaultsEnd);
    fault.duration = random.OneIn(4) ? random.Between(5'000, 45'000) : random.Between(10, 5'000);
    fault.worker = static_cast<uint32_t>(random.Between(plan.liar ? 1 : 0, plan.workers - 1));
    plan.faults.push_back(fault);
  }
  std::sort(plan.faults.begin(), plan.faults.end(),
            [](const Fault& a, const Fault& b) { return a.at < b.at; });
  return plan;
}

}  // namespace hatchery::simulation

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// hatchery-sim: runs the service in simulated worlds full of faults, one a seed; every run must end
// with the one-process run's digest. docs/reliability.md.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "tests/simulation/trials.h"

namespace hatchery::simulation {
namespace {

constexpr int kLinesShown = 300;

// The fewest faults that still make the seed fail, and what then happens.
void Explain(Trials& trials, const Plan& plan, const Outcome& outcome) {
  std::cout << "seed " << plan.seed << " FAILED: " << outcome.failure << "\n";
  const Plan shortest = trials.Shrink(plan);
  std::cout << "with these faults only:\n";
  for (const Fault& fault : shortest.faults) std::cout << "  " << Describe(fault) << "\n";
  std::ostringstream trace;
  trials.Run(shortest, &trace);
  std::istringstream lines(trace.str());
  std::string line;
  for (int n = 0; n < kLinesShown && std::getline(lines, line); ++n) std::cout << line << "\n";
  if (lines) std::cout << "... the rest: hatchery-sim --seed " << plan.seed << " --trace\n";
}

int Main(int argc, char** argv) {
  CLI::App app("Simulates jobs under faults: crashes, power cuts, partitions, lying disks.",
               "hatchery-sim");
  app.set_version_flag("--version", "hatchery-sim " HATCHERY_VERSION);
  std::string seeds = "1..100";
  uint64_t seed = 0;
  bool trace = false;
  std::string bug = "none";
  app.add_option("--seeds", seeds, "A..B: these seeds, stopping at the first that fails")
      ->capture_default_str();
  const auto* one = app.add_option("--seed", seed, "one seed");
  app.add_flag("--trace", trace, "with --seed: show all that happens");
  app.add_option("--bug", bug, "make a mistake on purpose: lost-sync or early-announce")
      ->check(CLI::IsMember({"none", "lost-sync", "early-announce"}));
  CLI11_PARSE(app, argc, argv);
  unsigned long long first = seed, last = seed;  // NOLINT: sscanf's
  if (one->count() == 0 && (std::sscanf(seeds.c_str(), "%llu..%llu", &first, &last) != 2 || first > last)) {
    std::cerr << "hatchery-sim: --seeds takes A..B with A <= B, not '" << seeds << "'\n";
    return 2;
  }
  Trials trials(bug == "lost-sync"        ? Bug::kLostSync
                : bug == "early-announce" ? Bug::kEarlyAnnounce
                                          : Bug::kNone);
  std::map<std::string, uint64_t> seen;
  int64_t simulated = 0;
  for (uint64_t s = first; s <= last; ++s) {
    const Plan plan = MakePlan(s);
    const Outcome outcome = trials.Run(plan, trace ? &std::cout : nullptr);
    simulated += outcome.milliseconds;
    for (const auto& [kind, count] : outcome.seen) seen[kind] += count;
    if (outcome.failure.empty()) continue;
    if (!trace) Explain(trials, plan, outcome);
    return 1;
  }
  std::cout << last - first + 1 << " seeds passed, " << simulated / 3'600'000 << " simulated hours\n";
  for (const auto& [kind, count] : seen) std::cout << "  " << kind << " " << count << "\n";
  return 0;
}

}  // namespace
}  // namespace hatchery::simulation

int main(int argc, char** argv) { return hatchery::simulation::Main(argc, argv); }

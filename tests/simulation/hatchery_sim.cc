// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// hatchery-sim: runs the service in simulated worlds full of faults, one a seed; every run must end
// with the one-process run's digest. docs/reliability.md.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "services/common/cli_error.h"
#include "services/common/guard.h"
#include "tests/simulation/apart.h"
#include "tests/simulation/trials.h"

namespace hatchery::simulation {
namespace {

constexpr size_t kLinesShown = 300;
constexpr char kOutcome = '=';  // begins the line that follows a trace

// ---- Outcomes from other processes
// ---------------------------------------------------------------

std::string ToLine(const Outcome& outcome) {
  const nlohmann::json line = {outcome.failure, outcome.milliseconds, outcome.seen};
  return line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

Outcome FromLine(const std::string& line) {
  const nlohmann::json json = nlohmann::json::parse(line);
  return {json[0], json[1], json[2]};
}

Outcome Crashed(Apart& process) {
  Outcome outcome;
  outcome.failure = "the program died of " + process.Crash() + "; stderr may say of what";
  return outcome;
}

// Each of `jobs` processes does every jobs-th seed; their outcomes are taken in the order of seeds.
class Crew {
 public:
  Crew(uint64_t first, uint64_t last, uint32_t jobs, Bug bug, const std::string& directory)
      : first_(first) {
    for (uint64_t job = 0; job < jobs; ++job)
      processes_.push_back(std::make_unique<Apart>([=](std::ostream& out) {
        Trials trials(bug, directory);
        for (uint64_t s = first + job; s <= last; s += jobs)
          out << ToLine(trials.Run(MakePlan(s), nullptr));
      }));
  }
  Outcome Of(uint64_t seed) {
    Apart& process = *processes_[(seed - first_) % processes_.size()];
    std::string line;
    return process.Next(line) ? FromLine(line) : Crashed(process);
  }

 private:
  const uint64_t first_;
  std::vector<std::unique_ptr<Apart>> processes_;
};

// Runs a plan with its trace; `visit` gets each line of it.
template <typename Visit>
Outcome RunTraced(const Plan& plan, Bug bug, const std::string& directory, const Visit& visit) {
  Apart process([&](std::ostream& out) {
    Trials trials(bug, directory);
    const Outcome outcome = trials.Run(plan, &out);
    out << kOutcome + ToLine(outcome);
  });
  std::string line;
  while (process.Next(line)) {
    if (line.front() == kOutcome) return FromLine(line.substr(1));
    visit(line);
  }
  return Crashed(process);
}

// ---- A seed that fails
// ---------------------------------------------------------------------------

// The plan without the faults that its failure does not need.
Plan Shrink(Plan plan, Bug bug, const std::string& directory) {
  for (size_t i = 0; i < plan.faults.size();) {
    Plan fewer = plan;
    fewer.faults.erase(fewer.faults.begin() + static_cast<ptrdiff_t>(i));
    if (RunTraced(fewer, bug, directory, [](const std::string&) {}).failure.empty())
      ++i;
    else
      plan = fewer;
  }
  return plan;
}

// The fewest faults that still make the seed fail, and what then happens, to its end.
void Explain(const Plan& plan, const Outcome& outcome, Bug bug, const std::string& directory) {
  std::cout << "seed " << plan.seed << " FAILED: " << outcome.failure << "\n";
  const Plan shortest = Shrink(plan, bug, directory);
  std::cout << "with these faults only:\n";
  for (const Fault& fault : shortest.faults) std::cout << "  " << Describe(fault) << "\n";
  std::deque<std::string> last;
  size_t lines = 0;
  const Outcome again = RunTraced(shortest, bug, directory, [&](const std::string& line) {
    ++lines;
    last.push_back(line);
    if (last.size() > kLinesShown) last.pop_front();
  });
  if (lines > last.size())
    std::cout << "... " << lines - last.size()
              << " lines; all, with every fault: hatchery-sim --seed " << plan.seed << " --trace\n";
  for (const std::string& line : last) std::cout << line << "\n";
  std::cout << "END: " << again.failure << "\n";
}

// ---- The command
// -----------------------------------------------------------------------------------

struct Options {
  std::string seeds = "1..100", bug = "none";
  uint64_t seed = 0;
  uint32_t jobs = 0;
  bool one = false, trace = false;
};

Bug BugOf(const std::string& name) {
  if (name == "lost-sync") return Bug::kLostSync;
  if (name == "lost-name") return Bug::kLostName;
  if (name == "lost-rewrite") return Bug::kLostRewrite;
  if (name == "early-announce") return Bug::kEarlyAnnounce;
  return Bug::kNone;
}

int RunSeeds(uint64_t first, uint64_t last, uint32_t jobs, Bug bug, const std::string& directory) {
  if (jobs == 0) jobs = std::max(1u, std::thread::hardware_concurrency());
  Crew crew(first, last, static_cast<uint32_t>(std::min<uint64_t>(jobs, last - first + 1)), bug,
            directory);
  std::map<std::string, uint64_t> seen;
  int64_t simulated = 0;
  for (uint64_t s = first; s <= last; ++s) {
    const Outcome outcome = crew.Of(s);
    if (!outcome.failure.empty()) {
      Explain(MakePlan(s), outcome, bug, directory);
      return 1;
    }
    simulated += outcome.milliseconds;
    for (const auto& [kind, count] : outcome.seen) seen[kind] += count;
  }
  std::cout << last - first + 1 << " seeds passed, " << simulated / 3'600'000
            << " simulated hours\n";
  for (const auto& [kind, count] : seen) std::cout << "  " << kind << " " << count << "\n";
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("Simulates jobs under faults: crashes, power cuts, partitions, lying disks.",
               "hatchery-sim");
  app.set_version_flag("--version", "hatchery-sim " HATCHERY_VERSION);
  Options options;
  app.add_option("--seeds", options.seeds, "A..B: these seeds, stopping at the first that fails")
      ->capture_default_str();
  const auto* one = app.add_option("--seed", options.seed, "one seed");
  app.add_flag("--trace", options.trace, "with --seed: show all that happens")->needs("--seed");
  app.add_option("--jobs", options.jobs,
                 "processes that share the seeds; what is printed does not depend on it (default: "
                 "one a processor)")
      ->check(WholeNumber(1, 1024));
  app.add_option("--bug", options.bug,
                 "make a mistake on purpose: lost-sync, lost-name, lost-rewrite or early-announce")
      ->check(CLI::IsMember({"none", "lost-sync", "lost-name", "lost-rewrite", "early-announce"}));
  app.failure_message(OneLineError);
  CLI11_PARSE(app, argc, argv);
  unsigned long long first = options.seed, last = options.seed;  // NOLINT: sscanf's
  if (one->count() == 0 &&
      (std::sscanf(options.seeds.c_str(), "%llu..%llu", &first, &last) != 2 || first > last)) {
    std::cerr << "hatchery-sim: --seeds takes A..B with A <= B, not '" << options.seeds << "'\n";
    return 2;
  }
  const TrialData data;
  const Bug bug = BugOf(options.bug);
  if (!options.trace) return RunSeeds(first, last, options.jobs, bug, data.directory());
  const Outcome outcome = RunTraced(MakePlan(first), bug, data.directory(),
                                    [](const std::string& line) { std::cout << line << "\n"; });
  if (!outcome.failure.empty())
    std::cout << "seed " << first << " FAILED: " << outcome.failure << "\n";
  return outcome.failure.empty() ? 0 : 1;
}

}  // namespace
}  // namespace hatchery::simulation

int main(int argc, char** argv) {
  return hatchery::GuardedMain("hatchery-sim",
                               [&] { return hatchery::simulation::Main(argc, argv); });
}

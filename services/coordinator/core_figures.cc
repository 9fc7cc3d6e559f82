// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What is counted and told to those who watch.
#include <algorithm>

#include "services/coordinator/core.h"

namespace hatchery::coordinator {

void Core::CountStep(const Run& run, const CommitRecord& record) {
  ++tally_.steps;
  tally_.tokens += record.scored_tokens;
  if (run.step_started < 0) return;  // it was paused on its way
  const StepMarks& marks = run.marks;
  const int64_t start = run.step_started;
  const int64_t voted = std::clamp(marks.first_vote, start, marks.agreed);
  const int64_t scored = std::clamp(marks.last_score, voted, marks.agreed);
  const auto add = [this](StepPhase phase, int64_t milliseconds) {
    tally_.phases[static_cast<size_t>(phase)].Add(static_cast<double>(milliseconds) / 1000);
  };
  add(StepPhase::kCommit, voted - start);
  add(StepPhase::kEvaluate, scored - voted);
  add(StepPhase::kWait, marks.agreed - scored);
  add(StepPhase::kJournal, now_ - marks.agreed);
}

const char* Core::StateName(const Worker& worker) {
  switch (worker.phase) {
    case Phase::kConnected:
      return "connected";
    case Phase::kProving:
      return "proving";
    case Phase::kLoading:
      return "loading";
    case Phase::kIdle:
    case Phase::kReady:
      break;
  }
  return worker.leases.empty() ? "idle" : "working";
}

Figures Core::Watch(size_t most) const {
  Figures figures;
  figures.tally = tally_;
  for (const auto& [id, worker] : workers_)
    ++figures.workers[{StateName(worker), worker.hello.backend()}];
  std::vector<const Run*> runs;
  for (const auto& [id, run] : runs_) {
    ++figures.jobs[run.record.state];
    runs.push_back(&run);
  }
  // At most one runs.
  const auto rank = [](const Run* run) {
    return std::pair(run->record.state != v1::JobState::RUNNING, ~run->age);
  };
  most = std::min(most, runs.size());
  std::partial_sort(runs.begin(), runs.begin() + static_cast<ptrdiff_t>(most), runs.end(),
                    [&](const Run* a, const Run* b) { return rank(a) < rank(b); });
  for (size_t i = 0; i < most; ++i) figures.recent.push_back(StateOf(*runs[i]));
  return figures;
}

}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What is drawn of a run: metrics over steps, tokens or time. docs/report.md says what each means.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "services/report/chart.h"
#include "services/report/replay_history.h"
#include "services/report/run_history.h"

namespace hatchery::report {

// What is known of a run; `replayed` only if its journal was replayed.
struct Run {
  RunHistory history;
  std::optional<ReplayHistory> replayed;
};

struct Metric {
  enum class Kind { kHeldOut, kTrain, kAccuracy, kThroughput, kUpdateRate, kSaturation };
  Kind kind;
  const char* name;   // "held-out", as users type it
  const char* title;  // "Held-out loss"
  const char* label;  // of the y axis, with its unit
  bool needs_replay;
  bool from_zero;
};
std::span<const Metric> Metrics();
const Metric& MetricOf(Metric::Kind kind);

// What the x axis counts: "step", "tokens" or "time".
class Abscissa {
 public:
  // For runs that are drawn together: they share the unit of time.
  Abscissa(std::string kind, std::span<const Run> runs);
  // With its unit.
  const std::string& label() const { return label_; }
  // Nothing where the journal does not tell.
  std::optional<double> At(const RunHistory& history, uint32_t step) const;

 private:
  std::string kind_, label_;
  double seconds_per_unit_ = 1;
};

// One metric of several runs, a line each; a run of which it is not known has no points.
Chart ChartOfRuns(std::span<const Run> runs, const Metric& metric, const Abscissa& x);

// The charts of a report, over steps, those that there is something to draw of.
struct ReportChart {
  Chart chart;
  std::string caption;
};
std::vector<ReportChart> ChartsOfReport(const Run& run);

}  // namespace hatchery::report

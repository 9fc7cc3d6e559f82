// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/report/figures.h"

#include <algorithm>
#include <array>

#include "services/common/convert.h"

namespace hatchery::report {
namespace {

using Kind = Metric::Kind;

// In the order of Kind.
constexpr std::array<Metric, 6> kMetrics = {{
    {Kind::kHeldOut, "held-out", "Held-out loss", "bits / byte", false, false},
    {Kind::kTrain, "train", "Training loss", "bits / byte", false, false},
    {Kind::kAccuracy, "accuracy", "Held-out accuracy", "% of bytes", false, false},
    {Kind::kThroughput, "tokens-per-second", "Throughput", "tokens / s", false, true},
    {Kind::kUpdateRate, "update-rate", "Update rate", "% of weights moved a step", true, true},
    {Kind::kSaturation, "saturation", "Saturation", "% of weights at ±127", true, true},
}};

constexpr size_t kMostLayers = 16;  // in one chart

// Collects (x, y) by step, where x is known.
class Line {
 public:
  Line(std::string name, const RunHistory& history, const Abscissa& x) : history_(history), x_(x) {
    series_.name = std::move(name);
  }
  void Add(uint32_t step, double y) {
    if (const auto x = x_.At(history_, step)) series_.points.push_back({*x, y});
  }
  Series Take(bool dots = false) {
    series_.dots = dots;
    return std::move(series_);
  }

 private:
  const RunHistory& history_;
  const Abscissa& x_;
  Series series_;
};

Series HeldOutLine(const RunHistory& history, std::string name, const Abscissa& x,
                   double (*measure)(const HeldOutSums&)) {
  Line line(std::move(name), history, x);
  for (const auto& [step, sums] : history.held_out) line.Add(step, measure(sums));
  return line.Take(history.held_out.size() <= 100);
}

double HeldOutBits(const HeldOutSums& sums) { return BitsPerByte(sums.score, sums.tokens); }
double AccuracyPercent(const HeldOutSums& sums) { return 100 * Accuracy(sums); }

Series CommitLine(const RunHistory& history, std::string name, const Abscissa& x,
                  double CommitPoint::*value, double factor) {
  Line line(std::move(name), history, x);
  for (const CommitPoint& commit : history.commits) line.Add(commit.step, factor * (commit.*value));
  return line.Take();
}

Series ThroughputLine(const RunHistory& history, std::string name, const Abscissa& x) {
  Line line(std::move(name), history, x);
  for (const Throughput& stretch : ThroughputOf(history))
    line.Add(stretch.end, stretch.tokens_per_second);
  return line.Take();
}

// A value of every measured step that has one.
template <typename Value>
Series MeasuredLine(const Run& run, std::string name, const Abscissa& x, const Value& value) {
  Line line(std::move(name), run.history, x);
  for (const MeasuredStep& step : run.replayed->steps)
    if (const std::optional<double> y = value(step)) line.Add(step.step, 100 * *y);
  return line.Take();
}

Series UpdateRateLine(const Run& run, std::string name, const Abscissa& x) {
  return MeasuredLine(run, std::move(name), x, [](const MeasuredStep& step) {
    return step.update_rate.empty() ? std::nullopt : std::optional(step.update_rate_of_all);
  });
}

Series SaturationLine(const Run& run, std::string name, const Abscissa& x) {
  const auto& layers = run.replayed->layers;
  return MeasuredLine(run, std::move(name), x, [&](const MeasuredStep& step) {
    double saturated = 0, all = 0;
    for (size_t i = 0; i < layers.size(); ++i) {
      saturated += step.saturation[i] * static_cast<double>(layers[i].parameters);
      all += static_cast<double>(layers[i].parameters);
    }
    return std::optional(saturated / all);
  });
}

Series LineOf(const Run& run, Kind metric, std::string name, const Abscissa& x) {
  const RunHistory& history = run.history;
  if (MetricOf(metric).needs_replay && !run.replayed) return Series{std::move(name), {}, false};
  switch (metric) {
    case Kind::kHeldOut:
      return HeldOutLine(history, std::move(name), x, HeldOutBits);
    case Kind::kTrain:
      return CommitLine(history, std::move(name), x, &CommitPoint::train_bits_per_byte, 1);
    case Kind::kAccuracy:
      return HeldOutLine(history, std::move(name), x, AccuracyPercent);
    case Kind::kThroughput:
      return ThroughputLine(history, std::move(name), x);
    case Kind::kUpdateRate:
      return UpdateRateLine(run, std::move(name), x);
    case Kind::kSaturation:
      return SaturationLine(run, std::move(name), x);
  }
  return {};
}

Chart Empty(const Metric& metric, const Abscissa& x) {
  return Chart{metric.title, x.label(), metric.label, {}, metric.from_zero};
}

// Indices of the layers to draw: all, or evenly many of them with the first and the last.
std::vector<size_t> LayersToDraw(size_t layers) {
  std::vector<size_t> chosen;
  const size_t count = std::min(layers, kMostLayers);
  for (size_t i = 0; i < count; ++i)
    chosen.push_back(count == 1 ? 0 : i * (layers - 1) / (count - 1));
  return chosen;
}

Chart LayerChart(const Run& run, const Metric& metric, const Abscissa& x,
                 std::vector<double> MeasuredStep::*shares) {
  Chart chart = Empty(metric, x);
  chart.title += " by layer";
  for (const size_t layer : LayersToDraw(run.replayed->layers.size())) {
    const auto value = [&](const MeasuredStep& step) {
      const auto& all = step.*shares;
      return all.empty() ? std::nullopt : std::optional(all[layer]);
    };
    chart.series.push_back(MeasuredLine(run, run.replayed->layers[layer].name, x, value));
  }
  return chart;
}

Chart LossChart(const Run& run, const Abscissa& x) {
  Chart chart{"Loss", x.label(), "bits / byte", {}, false};
  chart.series = {LineOf(run, Kind::kTrain, "training, perturbed population", x),
                  LineOf(run, Kind::kHeldOut, "held out, unperturbed", x)};
  if (chart.series.back().points.empty()) chart.series.pop_back();
  return chart;
}

Chart UpdateChart(const Run& run, const Abscissa& x) {
  Chart chart{"Update rate and schedule", x.label(), "%", {}, true};
  if (run.replayed) chart.series.push_back(UpdateRateLine(run, "weights moved", x));
  chart.series.push_back(CommitLine(run.history, "alpha: weights that pure noise would move", x,
                                    &CommitPoint::alpha, 100));
  chart.series.push_back(CommitLine(run.history, "pairs with a fitness other than 0", x,
                                    &CommitPoint::fitness_nonzero, 100));
  return chart;
}

}  // namespace

std::span<const Metric> Metrics() { return kMetrics; }

const Metric& MetricOf(Kind kind) { return kMetrics[static_cast<size_t>(kind)]; }

Abscissa::Abscissa(std::string kind, std::span<const Run> runs) : kind_(std::move(kind)) {
  label_ = kind_;
  if (kind_ != "time") return;
  double longest = 0;
  for (const Run& run : runs)
    if (!run.history.marks.empty()) longest = std::max(longest, run.history.marks.back().seconds);
  seconds_per_unit_ = longest > 2 * 3600 ? 3600 : longest > 180 ? 60 : 1;
  label_ = std::string("training time, ") + (seconds_per_unit_ == 3600 ? "hours"
                                             : seconds_per_unit_ == 60 ? "minutes"
                                                                       : "seconds");
}

std::optional<double> Abscissa::At(const RunHistory& history, uint32_t step) const {
  if (kind_ == "step") return step;
  if (kind_ == "tokens") return TokensAt(history, step);
  const auto seconds = SecondsAt(history, step);
  if (!seconds) return {};
  return *seconds / seconds_per_unit_;
}

Chart ChartOfRuns(std::span<const Run> runs, const Metric& metric, const Abscissa& x) {
  Chart chart = Empty(metric, x);
  for (const Run& run : runs) {
    std::string name = run.history.Name();
    const bool alone = std::count_if(runs.begin(), runs.end(), [&](const Run& other) {
                         return other.history.Name() == name;
                       }) == 1;
    if (!alone) name += " (" + run.history.directory + ")";
    chart.series.push_back(LineOf(run, metric.kind, std::move(name), x));
  }
  return chart;
}

std::vector<ReportChart> ChartsOfReport(const Run& run) {
  const Abscissa x("step", std::span(&run, 1));
  const std::span<const Run> alone(&run, 1);
  std::vector<ReportChart> charts;
  charts.push_back({LossChart(run, x),
                    "What it costs to tell the next byte. Training: mean over all members, each "
                    "perturbed, on the windows of the step. Held out: the model itself, on text "
                    "that it is not trained on."});
  charts.push_back({ChartOfRuns(alone, MetricOf(Kind::kAccuracy), x),
                    "Share of held-out bytes that were the likeliest by the model."});
  charts.push_back({ChartOfRuns(alone, MetricOf(Kind::kThroughput), x),
                    "Members × window, by the wall clock: scoring, updates, held-out measures, "
                    "checkpoints and the disk included."});
  charts.push_back({UpdateChart(run, x),
                    "A weight moves by one unit where the population agrees clearly enough; alpha "
                    "is the share that would move if scores were noise."});
  if (run.replayed) {
    const bool all = run.replayed->layers.size() <= kMostLayers;
    const std::string some = all ? "" : " Sixteen layers of all are drawn.";
    charts.push_back({LayerChart(run, MetricOf(Kind::kUpdateRate), x, &MeasuredStep::update_rate),
                      "Share of a layer's weights that the step's commit moves." + some});
    charts.push_back(
        {LayerChart(run, MetricOf(Kind::kSaturation), x, &MeasuredStep::saturation),
         "Share of a layer's weights at −127 or 127, where a step outward is clipped." + some});
  }
  std::erase_if(charts, [](const ReportChart& c) { return c.chart.Empty(); });
  return charts;
}

}  // namespace hatchery::report

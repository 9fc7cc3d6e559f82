// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/report/export.h"

#include <cmath>
#include <cstdio>
#include <deque>

#include "services/common/convert.h"

namespace hatchery::report {
namespace {

// A metric at each step from 0 to the newest; NaN where it is not known.
struct Column {
  std::string name;  // in CSV
  std::string tag;   // in TensorBoard; empty: not there
  std::vector<double> values;
};

class Table {
 public:
  explicit Table(const RunHistory& history) : rows_(size_t{history.step()} + 1) {}

  std::vector<double>& Add(std::string name, std::string tag) {
    columns_.push_back({std::move(name), std::move(tag), std::vector<double>(rows_, NAN)});
    return columns_.back().values;
  }
  std::deque<Column> Take() { return std::move(columns_); }

 private:
  size_t rows_;
  std::deque<Column> columns_;  // that references stay good
};

void AddProgress(const RunHistory& history, Table& table) {
  auto& tokens = table.Add("tokens", "");
  for (uint32_t step = 0; step < tokens.size(); ++step) tokens[step] = TokensAt(history, step);
  auto& seconds = table.Add("seconds", "");
  for (uint32_t step = 0; step < seconds.size(); ++step)
    seconds[step] = SecondsAt(history, step).value_or(NAN);
}

void AddCommits(const RunHistory& history, Table& table, std::string name, std::string tag,
                double CommitPoint::*value) {
  auto& values = table.Add(std::move(name), std::move(tag));
  for (const CommitPoint& commit : history.commits) values[commit.step] = commit.*value;
}

void AddHeldOut(const RunHistory& history, Table& table) {
  auto& bits = table.Add("held_out_bits_per_byte", "loss/held_out");
  for (const auto& [step, sums] : history.held_out)
    bits[step] = BitsPerByte(sums.score, sums.tokens);
  auto& coarse = table.Add("held_out_coarse_bits_per_byte", "loss/held_out_coarse");
  for (const auto& [step, sums] : history.held_out) coarse[step] = CoarseBitsPerByte(sums);
  auto& accuracy = table.Add("held_out_accuracy", "accuracy/held_out");
  for (const auto& [step, sums] : history.held_out) accuracy[step] = Accuracy(sums);
}

void AddThroughput(const RunHistory& history, Table& table) {
  auto& rate = table.Add("tokens_per_second", "throughput/tokens_per_second");
  for (const Throughput& stretch : ThroughputOf(history))
    if (stretch.end < rate.size()) rate[stretch.end] = stretch.tokens_per_second;
}

void AddReplayed(const ReplayHistory& replayed, Table& table) {
  auto& all = table.Add("update_rate", "update_rate/all");
  for (const MeasuredStep& step : replayed.steps)
    if (!step.update_rate.empty()) all[step.step] = step.update_rate_of_all;
  for (size_t layer = 0; layer < replayed.layers.size(); ++layer) {
    const std::string& name = replayed.layers[layer].name;
    auto& rate = table.Add("update_rate." + name, "update_rate/" + name);
    for (const MeasuredStep& step : replayed.steps)
      if (!step.update_rate.empty()) rate[step.step] = step.update_rate[layer];
    auto& saturation = table.Add("saturation." + name, "saturation/" + name);
    for (const MeasuredStep& step : replayed.steps) saturation[step.step] = step.saturation[layer];
  }
}

std::deque<Column> ColumnsOf(const Run& run) {
  Table table(run.history);
  AddProgress(run.history, table);
  AddCommits(run.history, table, "train_bits_per_byte", "loss/train",
             &CommitPoint::train_bits_per_byte);
  AddHeldOut(run.history, table);
  AddCommits(run.history, table, "alpha", "schedule/alpha", &CommitPoint::alpha);
  AddCommits(run.history, table, "fitness_nonzero", "fitness/nonzero",
             &CommitPoint::fitness_nonzero);
  AddThroughput(run.history, table);
  if (run.replayed) AddReplayed(*run.replayed, table);
  return table.Take();
}

// Of the weights at `step`; empty where neither the journal nor a replay tells it.
std::string DigestAt(const Run& run, uint32_t step) {
  if (step < run.history.step()) return FormatDigest(run.history.commits[step].digest_before);
  if (run.history.closing) return FormatDigest(run.history.closing->digest);
  return run.replayed ? FormatDigest(run.replayed->digest) : "";
}

std::string Number(double value) {
  if (!std::isfinite(value)) return "";
  char text[40];
  std::snprintf(text, sizeof text, "%.12g", value);
  return text;
}

}  // namespace

std::string MetricsToCsv(const Run& run) {
  const std::deque<Column> columns = ColumnsOf(run);
  std::string csv = "step";
  for (const Column& column : columns) csv += "," + column.name;
  csv += ",digest\n";
  for (uint32_t step = 0; step <= run.history.step(); ++step) {
    csv += std::to_string(step);
    for (const Column& column : columns) (csv += ',') += Number(column.values[step]);
    (csv += ',') += DigestAt(run, step) + '\n';
  }
  return csv;
}

std::vector<ScalarEvent> MetricsToEvents(const Run& run) {
  const std::deque<Column> columns = ColumnsOf(run);
  std::vector<ScalarEvent> events;
  for (uint32_t step = 0; step <= run.history.step(); ++step) {
    ScalarEvent event{WallTimeAt(run.history, step).value_or(0), step, {}};
    for (const Column& column : columns)
      if (!column.tag.empty() && std::isfinite(column.values[step]))
        event.values.emplace_back(column.tag, column.values[step]);
    if (!event.values.empty()) events.push_back(std::move(event));
  }
  return events;
}

}  // namespace hatchery::report

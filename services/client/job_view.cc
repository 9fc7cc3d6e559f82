// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/job_view.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "services/client/figure_text.h"
#include "services/common/counted.h"
#include "services/common/state_json.h"
#include "services/common/time_left.h"

namespace hatchery {
namespace {

constexpr size_t kTallCurve = 3, kTallFrom = 20;  // rows of the curve, on terminals with so many
constexpr size_t kNumber = 7;                     // columns of "12.345 "
constexpr size_t kShareBar = 8;

std::string Text(const char* format, auto... values) {
  char text[160];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

Color ColorOf(v1::JobState::State state) {
  switch (state) {
    case v1::JobState::RUNNING:
    case v1::JobState::FINISHED:
      return Color::kGreen;
    case v1::JobState::PAUSED:
      return Color::kYellow;
    case v1::JobState::CANCELLED:
      return Color::kRed;
    default:
      return Color::kNone;
  }
}

Color ColorOfWorker(const std::string& state) {
  if (state == "working") return Color::kGreen;
  if (state == "gone") return Color::kRed;
  return state == "idle" ? Color::kNone : Color::kYellow;
}

bool IsOver(const v1::JobState& job) {
  return job.state() == v1::JobState::FINISHED || job.state() == v1::JobState::CANCELLED;
}

double Progress(const v1::JobState& job) {
  return job.job().steps() == 0 ? 1 : double{1} * job.step() / job.job().steps();
}

// "w2" before "w10".
bool Older(const WorkerRow& a, const WorkerRow& b) {
  const std::string &x = a.state.worker_id(), &y = b.state.worker_id();
  return x.size() != y.size() ? x.size() < y.size() : x < y;
}

std::string Speed(double tokens_per_second) {
  return tokens_per_second > 0 ? FormatRate(tokens_per_second) : "-";
}

std::string Left(const v1::JobState& job, const std::vector<v1::JobUpdate>& updates) {
  const auto seconds = SecondsLeft(job, updates);
  return seconds ? FormatDuration(*seconds) : "-";
}

// A table of at most `rows` rows, the heading and a last one that counts the rest included.
void AddTable(std::vector<std::string>& lines, const std::vector<Column>& columns,
              std::vector<std::vector<Cell>> cells, const char* what, size_t rows, ViewSize size,
              Style style) {
  if (rows < 2) return;
  const size_t all = cells.size();
  const bool cut = all > rows - 1;
  if (cut) cells.resize(rows - 2);
  for (std::string& line : Table(columns, cells, size.columns, style))
    lines.push_back(std::move(line));
  if (!cut) return;
  Row rest(size.columns, style);
  rest.Add("and " + Counted(all - cells.size(), std::string("more ") + what), Color::kDim);
  lines.push_back(rest.text());
}

void AddWorkers(std::vector<std::string>& lines, std::vector<WorkerRow> workers, bool with_job,
                size_t rows, ViewSize size, Style style) {
  std::sort(workers.begin(), workers.end(), Older);
  std::vector<Column> columns = {
      {"WORKER", 6},          {"NAME", 18, false, 2},    {"BACKEND", 7, false, 3},
      {"STATE", 9, false, 0}, {"JOB", 5, false, 5},      {"TOKENS/S", 8, true, 0},
      {"SHARE", 5, true, 0},  {"", kShareBar, false, 4}, {"DEVICE", 24, false, 6}};
  if (!with_job) columns.erase(columns.begin() + 4);
  std::vector<std::vector<Cell>> cells;
  for (const WorkerRow& row : workers) {
    const v1::WorkerState& w = row.state;
    std::vector<Cell>& line = cells.emplace_back(
        std::vector<Cell>{{Narrow(w.worker_id())},
                          {Narrow(w.name())},
                          {Narrow(w.backend())},
                          {Narrow(w.state()), ColorOfWorker(w.state())},
                          {Narrow(w.job_id())},
                          {Speed(w.tokens_per_second())},
                          {row.share ? Text("%.0f %%", *row.share * 100) : "-"},
                          {row.share ? Bar(*row.share, kShareBar, style) : "", Color::kCyan},
                          {Narrow(w.device())}});
    if (!with_job) line.erase(line.begin() + 4);
  }
  AddTable(lines, columns, std::move(cells), "worker", rows, size, style);
}

// ---- One job -----------------------------------------------------------------------------------

std::string Title(const JobView& view, ViewSize size, Style style) {
  const v1::JobState& job = view.job;
  Row row(size.columns, style);
  row.Add("job " + Narrow(job.job_id()), Color::kBold).Add("  " + Narrow(job.job().name()) + "  ");
  row.Add(StateName(job.state()), ColorOf(job.state()));
  if (!job.reason().empty()) row.Add(": " + Narrow(job.reason()), ColorOf(job.state()));
  const std::string where = "  " + Narrow(view.coordinator);
  if (row.left() >= Columns(where)) row.AddCell(where, row.left(), true, Color::kDim);
  return row.text();
}

std::string ProgressRow(const JobView& view, ViewSize size, Style style) {
  const v1::JobState& job = view.job;
  const std::string before = Text("step %u/%u  ", job.step(), job.job().steps());
  std::string after = Text("  %3.0f %%", std::floor(Progress(job) * 100));
  if (!IsOver(job)) after += "  ETA " + Left(job, view.updates);
  const size_t text = Columns(before) + Columns(after);
  const size_t bar = size.columns > text ? std::min<size_t>(size.columns - text, 100) : 0;
  Row row(size.columns, style);
  row.Add(before).Add(Bar(Progress(job), bar, style), Color::kCyan).Add(after);
  return row.text();
}

std::string Measures(const JobView& view, ViewSize size, Style style) {
  const v1::JobUpdate& u = view.job.latest();
  Row row(size.columns, style);
  row.Add("bits/byte", Color::kDim);
  row.Add("  train ").Add(FormatBitsPerByte(u.train_bits_per_byte()), Color::kBold);
  row.Add("  held-out ").Add(FormatBitsPerByte(u.validation_bits_per_byte()), Color::kBold);
  if (u.validation_bits_per_byte() > 0) row.Add(Text(" (step %u)", u.validation_step()));
  return row.text();
}

std::string Speeds(const JobView& view, ViewSize size, Style style) {
  const v1::JobUpdate& u = view.job.latest();
  Row row(size.columns, style);
  row.Add("tokens/s ", Color::kDim).Add("  " + Speed(u.tokens_per_second()), Color::kBold);
  row.Add("  " + Counted(view.job.workers(), "worker"));
  if (u.step() > 0)
    row.Add(Text("  alpha %.3f  nonzero %.0f %%", u.alpha(), u.fitness_nonzero() * 100));
  const auto age = view.now_unix_seconds - view.job.submitted_unix_seconds();
  if (view.job.submitted_unix_seconds() > 0 && age >= 0)
    row.Add("  submitted " + FormatDuration(static_cast<double>(age)) + " ago", Color::kDim);
  return row.text();
}

// The training curve, with its greatest and least value beside its top and bottom row.
void AddCurve(std::vector<std::string>& lines, const JobView& view, ViewSize size, Style style) {
  std::vector<double> values;
  for (const v1::JobUpdate& update : view.updates)
    if (update.train_bits_per_byte() > 0) values.push_back(update.train_bits_per_byte());
  if (values.size() < 2 || size.columns < 2 * kNumber) return;
  const size_t height = size.rows >= kTallFrom ? kTallCurve : 1;
  const auto curve = Curve(values, size.columns - kNumber, height, style);
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  for (size_t i = 0; i < height; ++i) {
    Row row(size.columns, style);
    const double edge = i == 0 ? *most : *least;
    const bool labelled = i == 0 || i + 1 == height;
    row.AddCell(labelled ? FormatBitsPerByte(edge) : "", kNumber - 1, true, Color::kDim);
    row.Add(" ").Add(curve[i], Color::kGreen);
    lines.push_back(row.text());
  }
}

std::string Footer(const std::string& notice, const std::string& hint, ViewSize size, Style style) {
  Row row(size.columns, style);
  if (!notice.empty())
    row.Add(Narrow(notice), Color::kYellow);
  else
    row.Add(hint, Color::kDim);
  return row.text();
}

}  // namespace

std::vector<std::string> Render(const JobView& view, ViewSize size, Style style) {
  std::vector<std::string> lines = {Title(view, size, style), ProgressRow(view, size, style),
                                    Measures(view, size, style), Speeds(view, size, style)};
  AddCurve(lines, view, size, style);
  // A blank row, the table, the footer.
  if (size.rows > lines.size() + 4) {
    lines.emplace_back();
    AddWorkers(lines, view.workers, false, size.rows - lines.size() - 1, size, style);
  }
  lines.push_back(Footer(view.notice, "Ctrl-C or q stops watching; the job goes on", size, style));
  if (lines.size() > size.rows)
    lines.erase(lines.begin() + static_cast<ptrdiff_t>(size.rows), lines.end());
  return lines;
}

// ---- The fleet ---------------------------------------------------------------------------------

namespace {

std::string FleetTitle(const FleetView& view, ViewSize size, Style style) {
  double tokens = 0;
  size_t open = 0;
  for (const v1::JobState& job : view.jobs) {
    open += !IsOver(job);
    if (job.state() == v1::JobState::RUNNING) tokens += job.latest().tokens_per_second();
  }
  const std::string counts =
      Counted(view.workers.size(), "worker") + "  " + Counted(open, "open job");
  const std::string speed = Speed(tokens) + " tokens/s";
  Row row(size.columns, style);
  // The name is what a narrow terminal can do without.
  if (Columns("hatchery  " + counts + "  " + speed) <= size.columns)
    row.Add("hatchery", Color::kBold).Add("  ");
  row.Add(counts);
  if (row.left() >= Columns("  " + speed)) row.Add("  ").Add(speed, Color::kBold);
  const std::string where = "  " + Narrow(view.coordinator);
  if (row.left() >= Columns(where)) row.AddCell(where, row.left(), true, Color::kDim);
  return row.text();
}

// What runs, then what waits, then the newest of what is over.
std::vector<v1::JobState> InOrder(std::vector<v1::JobState> jobs) {
  const auto rank = [](const v1::JobState& job) {
    return job.state() == v1::JobState::RUNNING  ? 0
           : job.state() == v1::JobState::QUEUED ? 1
           : job.state() == v1::JobState::PAUSED ? 2
                                                 : 3;
  };
  const auto over = std::stable_partition(jobs.begin(), jobs.end(),
                                          [](const v1::JobState& job) { return !IsOver(job); });
  std::reverse(over, jobs.end());
  std::stable_sort(jobs.begin(), jobs.end(),
                   [&](const v1::JobState& a, const v1::JobState& b) { return rank(a) < rank(b); });
  return jobs;
}

void AddJobs(std::vector<std::string>& lines, const std::vector<v1::JobState>& jobs, size_t rows,
             ViewSize size, Style style) {
  const std::vector<Column> columns = {{"JOB", 4},
                                       {"NAME", 16, false, 1},
                                       {"STATE", 9},
                                       {"STEP", 13, true},
                                       {"", kShareBar, false, 3},
                                       {"TRAIN", 6, true, 5},
                                       {"HELD-OUT", 8, true, 4},
                                       {"TOKENS/S", 8, true, 6},
                                       {"ETA", 7, true, 2}};
  std::vector<std::vector<Cell>> cells;
  for (const v1::JobState& job : InOrder(jobs)) {
    const bool running = job.state() == v1::JobState::RUNNING;
    cells.push_back({{Narrow(job.job_id())},
                     {Narrow(job.job().name())},
                     {StateName(job.state()), ColorOf(job.state())},
                     {Text("%u/%u", job.step(), job.job().steps())},
                     {Bar(Progress(job), kShareBar, style), Color::kCyan},
                     {FormatBitsPerByte(job.latest().train_bits_per_byte())},
                     {FormatBitsPerByte(job.latest().validation_bits_per_byte())},
                     {running ? Speed(job.latest().tokens_per_second()) : "-"},
                     {Left(job, {})}});
  }
  AddTable(lines, columns, std::move(cells), "job", rows, size, style);
}

}  // namespace

std::vector<std::string> Render(const FleetView& view, ViewSize size, Style style) {
  std::vector<std::string> lines = {FleetTitle(view, size, style)};
  // Two blank rows and the footer; of the rest, jobs get what workers leave, and half at least.
  const size_t room = size.rows > 8 ? size.rows - 4 : 4;
  const size_t wanted = std::min(view.workers.size() + 1, room / 2);
  if (size.rows > 8) lines.emplace_back();
  AddJobs(lines, view.jobs, room - wanted, size, style);
  if (size.rows > lines.size() + 3) {
    lines.emplace_back();
    AddWorkers(lines, view.workers, true, size.rows - lines.size() - 1, size, style);
  }
  lines.push_back(Footer(view.notice, "Ctrl-C or q ends this view", size, style));
  if (lines.size() > size.rows)
    lines.erase(lines.begin() + static_cast<ptrdiff_t>(size.rows), lines.end());
  return lines;
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/report/run_history.h"

#include <algorithm>
#include <filesystem>

#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/run_events.h"

namespace hatchery::report {
namespace {

CommitPoint PointOf(const CommitRecord& record, const v1::Job& job) {
  CommitPoint point;
  point.step = record.commit.step;
  point.train_bits_per_byte = BitsPerByte(record.score_sum, record.scored_tokens);
  point.alpha = record.commit.alpha / 65536.0;
  point.fitness_nonzero = 2.0 * record.nonzero_pairs / job.population();
  point.digest_before = record.digest_before;
  return point;
}

double SecondsBetween(const TimeMark& from, const TimeMark& to) {
  return static_cast<double>(to.unix_milliseconds - from.unix_milliseconds) / 1000;
}

// A clock that was set back tells nothing: such marks are passed over.
void AddMark(const EventRecord& event, std::vector<TimeMark>& marks) {
  TimeMark mark{event.step, event.unix_milliseconds};
  mark.starts = event.kind != kTimeEvent || marks.empty();
  if (!marks.empty()) {
    const TimeMark& last = marks.back();
    if (mark.step < last.step || mark.unix_milliseconds < last.unix_milliseconds) return;
    mark.seconds = last.seconds + (mark.starts ? 0 : SecondsBetween(last, mark));
  }
  marks.push_back(mark);
}

bool TellsTime(const EventRecord& event) {
  return event.kind == kStartedEvent || event.kind == kResumedEvent || event.kind == kTimeEvent;
}

void Add(const JournalRecord& record, RunHistory& history) {
  if (const auto* commit = std::get_if<CommitRecord>(&record)) {
    history.commits.push_back(PointOf(*commit, history.header.job));
    if (commit->held_out) history.held_out[commit->commit.step] = *commit->held_out;
  } else if (const auto* event = std::get_if<EventRecord>(&record)) {
    if (TellsTime(*event)) AddMark(*event, history.marks);
    history.events.push_back(*event);
  } else if (const auto* closing = std::get_if<ClosingRecord>(&record)) {
    history.closing = *closing;
    if (closing->held_out) history.held_out[closing->step] = *closing->held_out;
  }
}

// What `value` says at `step`: at a mark exactly, between two marks of one stretch of training
// interpolated.
template <typename Value>
std::optional<double> Interpolate(const RunHistory& history, uint32_t step, const Value& value) {
  const auto& marks = history.marks;
  const auto after = std::lower_bound(marks.begin(), marks.end(), step,
                                      [](const TimeMark& m, uint32_t s) { return m.step < s; });
  if (after == marks.end()) return {};
  if (after->step == step) return value(*after);
  if (after == marks.begin() || after->starts) return {};
  const auto before = std::prev(after);
  const double share = static_cast<double>(step - before->step) / (after->step - before->step);
  return value(*before) + share * (value(*after) - value(*before));
}

}  // namespace

std::string RunHistory::Name() const {
  if (!header.job.name().empty()) return header.job.name();
  const std::filesystem::path path = std::filesystem::path(directory + "/.").lexically_normal();
  return path.parent_path().filename().string();
}

StatusOr<RunHistory> ReadHistory(Disk& disk, const RunDir& run) {
  if (!run.HasJournal())
    return NotFound(run.path() + " holds no journal.hatchery; give the directory of a run, as " +
                    "`hatchery train --out` or `hatchery fetch --out` made it");
  HATCHERY_ASSIGN_OR_RETURN(auto journal, JournalReader::Open(disk, run.journal_path()));
  RunHistory history;
  history.directory = run.path();
  history.header = journal->header();
  JournalRecord record;
  while (true) {
    HATCHERY_ASSIGN_OR_RETURN(const auto outcome, journal->Next(record));
    if (outcome != JournalReader::Outcome::kRecord) break;
    Add(record, history);
  }
  history.journal_bytes = journal->good_end();
  history.torn_bytes = journal->torn_bytes();
  history.chain = journal->chain();
  return history;
}

double TokensAt(const RunHistory& history, uint32_t step) {
  return static_cast<double>(TokensPerStep(history.header.job)) * step;
}

std::optional<double> SecondsAt(const RunHistory& history, uint32_t step) {
  return Interpolate(history, step, [](const TimeMark& mark) { return mark.seconds; });
}

std::optional<double> WallTimeAt(const RunHistory& history, uint32_t step) {
  return Interpolate(history, step, [](const TimeMark& mark) {
    return static_cast<double>(mark.unix_milliseconds) / 1000;
  });
}

std::vector<Throughput> ThroughputOf(const RunHistory& history) {
  std::vector<Throughput> all;
  const auto& marks = history.marks;
  const TimeMark* begin = nullptr;  // of the stretch before
  for (size_t i = 1; i < marks.size(); ++i) {
    const TimeMark *from = &marks[i - 1], &to = marks[i];
    if (from->starts) begin = nullptr;
    if (to.starts || to.step == from->step || SecondsBetween(*from, to) <= 0) continue;
    const bool last = i + 1 == marks.size() || marks[i + 1].starts;
    if (last && begin && 2 * SecondsBetween(*from, to) < SecondsBetween(*begin, *from)) {
      from = begin;
      all.pop_back();
    }
    all.push_back(
        {from->step, to.step,
         (TokensAt(history, to.step) - TokensAt(history, from->step)) / SecondsBetween(*from, to)});
    begin = from;
  }
  return all;
}

std::optional<double> MeanThroughput(const RunHistory& history) {
  double tokens = 0, seconds = 0;
  for (size_t i = 1; i < history.marks.size(); ++i) {
    const TimeMark &a = history.marks[i - 1], &b = history.marks[i];
    if (b.starts) continue;
    tokens += TokensAt(history, b.step) - TokensAt(history, a.step);
    seconds += SecondsBetween(a, b);
  }
  if (tokens == 0 || seconds <= 0) return {};
  return tokens / seconds;
}

}  // namespace hatchery::report

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a run's journal tells of it, ready to draw: no replica, no data.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/digest.h"
#include "kernels/status.h"
#include "services/common/journal.h"
#include "services/common/run_dir.h"

namespace hatchery::report {

// One commit without its fitness. What it tells of weights, it tells of those at `step`.
struct CommitPoint {
  uint32_t step = 0;
  double train_bits_per_byte = 0;  // mean over the perturbed population
  double alpha = 0;                // fraction of the weights that pure noise would move
  double fitness_nonzero = 0;      // fraction of the pairs
  core::Digest digest_before;      // of the replica at `step`
};

// When the weights of a step were reached.
struct TimeMark {
  uint32_t step = 0;
  int64_t unix_milliseconds = 0;
  double seconds = 0;   // of training so far, pauses left out
  bool starts = false;  // training begins or goes on here, after a pause of unknown use
};

struct RunHistory {
  std::string directory;
  JournalHeader header;
  std::vector<CommitPoint> commits;          // of steps 0, 1, …
  std::map<uint32_t, HeldOutSums> held_out;  // by step of the weights that were measured
  std::vector<EventRecord> events;
  std::vector<TimeMark> marks;  // from the events, ascending by step and time
  std::optional<ClosingRecord> closing;
  uint64_t journal_bytes = 0;  // that were read and are right
  uint64_t torn_bytes = 0;     // after them: a write that a crash cut short
  Sha256Hash chain{};          // the last chain value

  // Commits so far: the step of the newest weights.
  uint32_t step() const { return static_cast<uint32_t>(commits.size()); }
  // "kjv-small", or the directory's name if the job has none.
  std::string Name() const;
};

// Reads the journal of `run` to its end. A torn tail is not an error; damage is kDataLoss.
StatusOr<RunHistory> ReadHistory(Disk& disk, const RunDir& run);

// Tokens that were trained on up to `step`.
double TokensAt(const RunHistory& history, uint32_t step);
// Seconds of training up to `step`, pauses left out: interpolated between marks, nothing where
// there are none.
std::optional<double> SecondsAt(const RunHistory& history, uint32_t step);
// The wall clock at `step`, in seconds since 1970, interpolated in the same way.
std::optional<double> WallTimeAt(const RunHistory& history, uint32_t step);

// Tokens a second from one mark to the next, with all that training does: scoring, updates,
// held-out measures, checkpoints, the disk. Training ends between two marks: a last stretch less
// than half as long as the one before it, too short to tell a rate, is counted with that one.
struct Throughput {
  uint32_t begin = 0, end = 0;  // steps
  double tokens_per_second = 0;
};
std::vector<Throughput> ThroughputOf(const RunHistory& history);
// Over the whole run, as far as the marks go; nothing if they tell nothing.
std::optional<double> MeanThroughput(const RunHistory& history);

}  // namespace hatchery::report

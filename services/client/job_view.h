// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What `hatchery watch` shows of a job, and `hatchery top` of all: pure functions from what is
// known to rows of text, none wider than the terminal and no more than it has.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"
#include "services/client/text_view.h"

namespace hatchery {

struct WorkerRow {
  v1::WorkerState state;
  std::optional<double> share;  // of its job's pairs, lately, [0, 1]
};

// What is known of one job while it is watched.
struct JobView {
  std::string coordinator;  // its address
  v1::JobState job;
  std::vector<v1::JobUpdate> updates;  // of the newest steps, oldest first
  std::vector<WorkerRow> workers;      // on this job
  std::string notice;                  // what the user must know: the coordinator is away
  int64_t now_unix_seconds = 0;
};

std::vector<std::string> Render(const JobView& view, ViewSize size, Style style);

// The coordinator's jobs and connected workers.
struct FleetView {
  std::string coordinator;
  std::vector<v1::JobState> jobs;  // oldest first
  std::vector<WorkerRow> workers;
  std::string notice;
  int64_t now_unix_seconds = 0;
};

std::vector<std::string> Render(const FleetView& view, ViewSize size, Style style);

}  // namespace hatchery

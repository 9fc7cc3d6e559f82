// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a run's journal implies but does not say, from a replay of its commits: how many weights a
// step moves, how many are saturated, what the model writes.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "kernels/weight_statistics.h"
#include "services/common/backend.h"
#include "services/common/sampling.h"
#include "services/report/run_history.h"

namespace hatchery::report {

// The weights of one step. A share is of the weights of a layer (LayersOf, in that order) or of the
// whole model, in [0, 1].
struct MeasuredStep {
  uint32_t step = 0;
  std::vector<double> saturation;  // by layer
  // Moved by the commit of `step`, so on the way to step + 1; empty and 0 at the last step.
  std::vector<double> update_rate;  // by layer
  double update_rate_of_all = 0;
};

// The newest weights of one tensor.
struct TensorSummary {
  Tensor tensor;
  double saturation = 0;      // share
  double changed = 0;         // share that differs from step 0
  double mean_magnitude = 0;  // mean |w|, in units of 1/16
};

struct Sample {
  uint32_t step = 0;
  std::string text;  // any bytes, the prompt not included
};

struct ReplayHistory {
  std::vector<ModelPart> layers;
  std::vector<MeasuredStep> steps;  // ascending
  std::vector<TensorSummary> tensors;
  std::vector<Sample> samples;
  core::Digest digest;            // of the newest weights
  uint64_t digests_compared = 0;  // with the journal's, all equal
};

struct ReplayHistoryOptions {
  // Steps; of more, evenly many are left out. 0: all are measured.
  uint32_t most_measured = 1000;
  uint32_t samples = 6;  // evenly spread, the first at step 0, the last at the newest
  std::string prompt;
  SamplingOptions sampling;
  BackendOptions backend;
  std::stop_token stop = {};
  // Called before each commit; may be empty.
  std::function<void(uint32_t step)> on_step;
};

// Replays the commits of `history`, whose directory `run` is, and no more, even if the journal has
// grown since. kDataLoss names the step at which a digest differs.
StatusOr<ReplayHistory> ReplayRun(Disk& disk, const RunDir& run, const RunHistory& history,
                                  const ReplayHistoryOptions& options);

// The step whose sample is the i-th of `samples`, the run being at `last`.
uint32_t SampleStep(uint32_t i, uint32_t samples, uint32_t last);

}  // namespace hatchery::report

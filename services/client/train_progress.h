// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "services/trainer/trainer.h"

namespace hatchery {

// Prints a run's progress on stdout: a line that is rewritten, on a terminal; else a line now and
// then; or with `json` one object a step.
class TrainProgress {
 public:
  TrainProgress(uint32_t steps, bool json);

  void Show(const StepReport& report);
  // One line for people, on stderr.
  void Note(const std::string& text);
  // Leaves the terminal at the start of a line.
  void EndLine();

 private:
  using Clock = std::chrono::steady_clock;

  void ShowJson(const StepReport& report) const;
  std::string Line(const StepReport& report, Clock::time_point now) const;

  const uint32_t steps_;
  const bool json_, terminal_;
  bool line_open_ = false;
  std::optional<double> held_out_;      // newest bits/byte
  std::optional<uint32_t> first_step_;  // that this process did, and when it had done it
  Clock::time_point first_, last_shown_;
};

}  // namespace hatchery

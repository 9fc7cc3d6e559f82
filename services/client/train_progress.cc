// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/train_progress.h"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "services/client/figure_text.h"
#include "services/common/convert.h"

namespace hatchery {
namespace {

constexpr std::chrono::seconds kQuiet(10);  // between lines when nobody watches

template <typename... Args>
std::string Format(const char* format, Args... args) {
  char text[160];
  std::snprintf(text, sizeof(text), format, args...);
  return text;
}

}  // namespace

TrainProgress::TrainProgress(uint32_t steps, bool json)
    : steps_(steps), json_(json), terminal_(!json && ::isatty(STDOUT_FILENO) == 1) {}

void TrainProgress::Show(const StepReport& report) {
  if (report.held_out) held_out_ = BitsPerByte(report.held_out->score, report.held_out->tokens);
  if (json_) return ShowJson(report);
  const auto now = Clock::now();
  if (!first_step_) {
    first_step_ = report.step;
    first_ = now;
  }
  const bool worth_a_line = report.held_out || report.step == steps_ || now - last_shown_ > kQuiet;
  if (!terminal_ && !worth_a_line) return;
  last_shown_ = now;
  const std::string line = Line(report, now);
  if (terminal_)
    std::printf("\r%s\033[K", line.c_str());
  else
    std::printf("%s\n", line.c_str());
  line_open_ = terminal_;
  std::fflush(stdout);
}

std::string TrainProgress::Line(const StepReport& report, Clock::time_point now) const {
  std::string line =
      Format("step %u/%u  train %.4f", report.step, steps_, report.train_bits_per_byte);
  line += held_out_ ? Format("  held-out %.4f bits/byte", *held_out_) : " bits/byte";
  line += "  " + FormatRate(report.tokens_per_second) + " tokens/s";
  if (report.step > *first_step_) {
    const std::chrono::duration<double> spent = now - first_;
    line += "  ETA " +
            FormatDuration(spent.count() / (report.step - *first_step_) * (steps_ - report.step));
  }
  return line;
}

void TrainProgress::ShowJson(const StepReport& report) const {
  nlohmann::ordered_json line;
  line["step"] = report.step;
  line["train_bits_per_byte"] = report.train_bits_per_byte;
  if (held_out_)
    line["validation_bits_per_byte"] = *held_out_;
  else
    line["validation_bits_per_byte"] = nullptr;
  line["tokens_per_second"] = report.tokens_per_second;
  if (report.update_rate)
    line["update_rate"] = *report.update_rate;
  else
    line["update_rate"] = nullptr;
  line["fitness_nonzero"] = report.fitness_nonzero;
  line["digest"] = FormatDigest(report.digest);
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

void TrainProgress::Note(const std::string& text) {
  EndLine();
  std::fprintf(stderr, "hatchery: %s\n", text.c_str());
}

void TrainProgress::EndLine() {
  if (line_open_) std::printf("\n");
  line_open_ = false;
  std::fflush(stdout);
}

}  // namespace hatchery

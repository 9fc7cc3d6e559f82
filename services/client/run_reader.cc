// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/run_reader.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

namespace hatchery {
namespace {

// "replaying runs/kjv: step 120 of 320", rewritten in place a few times a second.
class ReplayProgress {
 public:
  ReplayProgress(std::string directory, uint32_t steps)
      : directory_(std::move(directory)), steps_(steps), terminal_(::isatty(STDERR_FILENO) == 1) {}
  ~ReplayProgress() {
    if (shown_) std::fprintf(stderr, "\r\033[K");
  }

  void Show(uint32_t step) {
    const auto now = std::chrono::steady_clock::now();
    if (!terminal_ || now - last_ < std::chrono::milliseconds(200)) return;
    last_ = now;
    shown_ = true;
    std::fprintf(stderr, "\rreplaying %s: step %u of %u\033[K", directory_.c_str(), step, steps_);
    std::fflush(stderr);
  }

 private:
  const std::string directory_;
  const uint32_t steps_;
  const bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace

StatusOr<report::Run> ReadRun(const std::string& directory,
                              std::optional<report::ReplayHistoryOptions> replay) {
  const RunDir files(PosixDisk(), directory);
  const auto history = report::ReadHistory(PosixDisk(), files);
  if (history.status().code() == StatusCode::kDataLoss)
    return DataLoss(history.status().message() + "; hatchery fsck " + directory +
                    " --repair keeps what is right of it");
  if (!history.ok()) return history.status();
  report::Run run{*history, {}};
  if (!replay) return run;
  ReplayProgress progress(directory, run.history.step());
  replay->on_step = [&](uint32_t step) { progress.Show(step); };
  HATCHERY_ASSIGN_OR_RETURN(run.replayed,
                            report::ReplayRun(PosixDisk(), files, run.history, *replay));
  return run;
}

Status CheckOutput(const std::string& option, const std::string& path,
                   const std::vector<std::string>& endings) {
  const std::filesystem::path directory = std::filesystem::path(path).parent_path();
  if (std::error_code none; !directory.empty() && !std::filesystem::is_directory(directory, none))
    return NotFound(option + " " + path + ": there is no directory " + directory.string() +
                    "; make it, or choose another");
  if (std::any_of(endings.begin(), endings.end(),
                  [&](const std::string& ending) { return path.ends_with(ending); }))
    return {};
  std::string list;
  for (const std::string& ending : endings) list += (list.empty() ? "" : " or ") + ending;
  return InvalidArgument(option + " " + path + " must end with " + list);
}

}  // namespace hatchery

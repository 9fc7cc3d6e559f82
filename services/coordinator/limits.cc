// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/limits.h"

#include <CLI/CLI.hpp>

#include "kernels/model.h"
#include "services/common/job.h"

namespace hatchery::coordinator {
namespace {

constexpr uint64_t kRecordBytes = 160;  // of a commit in the journal, beside its fitness

Status TooLarge(const std::string& what, uint64_t bytes, uint64_t most, const std::string& flag) {
  return InvalidArgument(what + " would have " + std::to_string(bytes) +
                         " bytes; this coordinator takes " + std::to_string(most) + " (" + flag +
                         ")")
      .About("job");
}

}  // namespace

void AddLimitOptions(CLI::App& app, Limits& limits) {
  const auto add = [&](const char* flag, auto& value, const char* help) {
    app.add_option(flag, value, help)->check(CLI::PositiveNumber)->capture_default_str();
  };
  add("--max-workers", limits.workers, "workers connected at once");
  add("--max-watchers", limits.watchers, "clients that watch a job at once");
  add("--max-transfers", limits.transfers, "files on their way at once");
  add("--max-upload-bytes", limits.upload_bytes, "largest data file that a client may store");
  add("--keep-free-bytes", limits.kept_free_bytes,
      "of the data directory's disk: uploads stop there, so that journals do not");
  add("--max-weight-bytes", limits.weight_bytes, "largest model of a job");
  add("--max-journal-bytes", limits.journal_bytes, "longest journal that a job may come to");
  add("--max-unfinished-jobs", limits.unfinished_jobs, "jobs that wait, run or are paused");
  add("--stalled-seconds", limits.stalled_seconds,
      "a peer that does not read or send for so long in mid-transfer is cut off");
}

Status CheckSize(const v1::Job& job, const Limits& limits) {
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  const uint64_t weights = Model(spec).bytes();
  if (weights > limits.weight_bytes)
    return TooLarge("the model", weights, limits.weight_bytes, "--max-weight-bytes");
  const uint64_t fitness =
      spec.fitness == FitnessRule::kSign ? (spec.pairs() + 4) / 5 : uint64_t{spec.pairs()};
  const uint64_t journal = spec.steps * (fitness + kRecordBytes);  // below 2^31 * 2^24
  if (journal > limits.journal_bytes)
    return TooLarge("the journal of " + std::to_string(spec.steps) + " steps", journal,
                    limits.journal_bytes, "--max-journal-bytes");
  return {};
}

StatusOr<Slots::Slot> Slots::Take() {
  if (used_.fetch_add(1) < size_) return Slot(&used_);
  --used_;
  const std::string by = option_.empty() ? "" : " (" + option_ + ")";
  return ResourceExhausted("this coordinator takes no more than " + std::to_string(size_) + " " +
                           what_ + by + "; try again later")
      .About(option_);
}

}  // namespace hatchery::coordinator

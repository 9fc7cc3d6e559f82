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
  add("--max-transfers", limits.transfers,
      "files on their way at once, of workers and of clients each; half of them of one machine");
  add("--max-upload-bytes", limits.upload_bytes, "largest data file that a client may store");
  app.add_option(
         "--keep-free-bytes", limits.kept_free_bytes,
         "of the data directory's disk: uploads of data stop there, so that journals do not")
      ->capture_default_str();
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

StatusOr<Slots::Slot> Slots::Take(const std::string& peer) {
  const std::string machine = peer.substr(0, peer.rfind(':'));  // "ipv4:10.0.0.1:4242"
  const std::string by = option_.empty() ? "" : " (" + option_ + ")";
  std::lock_guard lock(mutex_);
  uint32_t& of_machine = of_machine_[machine];
  const bool too_many = !machine.empty() && of_machine >= (size_ + 1) / 2;
  if (used_ < size_ && !too_many) {
    ++used_, ++of_machine;
    return Slot(this, machine);
  }
  if (of_machine == 0) of_machine_.erase(machine);
  return ResourceExhausted("this coordinator takes no more than " +
                           std::to_string(too_many ? (size_ + 1) / 2 : size_) + " " + what_ +
                           (too_many ? " of one machine" : "") + by + "; try again later")
      .About(option_);
}

void Slots::GiveBack(const std::string& machine) {
  std::lock_guard lock(mutex_);
  --used_;
  if (const auto at = of_machine_.find(machine); --at->second == 0) of_machine_.erase(at);
}

}  // namespace hatchery::coordinator

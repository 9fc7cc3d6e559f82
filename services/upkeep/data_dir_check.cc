// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/upkeep/data_dir_check.h"

#include <map>
#include <set>

#include "services/common/counted.h"
#include "services/common/dataset.h"
#include "services/common/job.h"
#include "services/common/journal_repair.h"
#include "services/coordinator/catalogue.h"

namespace hatchery {
namespace {

using coordinator::Catalogue;
using State = FileReport::State;

class DataDirCheck {
 public:
  DataDirCheck(Disk& disk, const std::string& directory, const RunCheckOptions& options,
               const ReportSink& report)
      : disk_(&disk), directory_(directory), options_(&options), report_(&report) {}

  Status Check() {
    // First: jobs only get further while we look at them.
    HATCHERY_RETURN_IF_ERROR(CheckCatalogue());
    HATCHERY_RETURN_IF_ERROR(CheckJobs());
    return CheckFiles();
  }

 private:
  // What a job that can still run needs, and which one that is.
  struct Need {
    std::string job_id;
    bool finished;
  };

  void Report(const std::string& path, State state, const std::string& text) const {
    (*report_)(FileReport{path, state, text, {}, {}});
  }

  StatusOr<std::vector<v1::JobState>> ReadCatalogue(const std::string& path) const {
    HATCHERY_ASSIGN_OR_RETURN(const auto catalogue, Catalogue::OpenToRead(path));
    HATCHERY_RETURN_IF_ERROR(catalogue->CheckIntegrity());
    return catalogue->Jobs();
  }

  Status CheckCatalogue() {
    const std::string path = directory_ + "/catalogue.sqlite";
    if (!disk_->Exists(path)) {
      Report(path, State::kLeftover, "missing; jobs are found from their journals");
      return {};
    }
    auto jobs = ReadCatalogue(path);
    if (jobs.ok()) {
      for (v1::JobState& job : *jobs) known_[job.job_id()] = std::move(job);
      Report(path, State::kOk, Counted(known_.size(), "job"));
      return {};
    }
    if (!options_->repair) {
      Report(path, State::kDamaged, jobs.status().message());
      return {};
    }
    HATCHERY_ASSIGN_OR_RETURN(const std::string aside, MoveAside(*disk_, path));
    for (const char* part : {"-wal", "-shm"})
      if (disk_->Exists(path + part))
        HATCHERY_RETURN_IF_ERROR(disk_->Rename(path + part, aside + part));
    Report(path, State::kRepaired,
           jobs.status().message() + "; moved to " + aside +
               "; the next coordinator finds the jobs from their journals, and those that were "
               "unfinished are paused until they are resumed or cancelled");
    return {};
  }

  Status CheckJobs() {
    HATCHERY_ASSIGN_OR_RETURN(const auto names, List("/jobs"));
    std::set<std::string> ids(names.begin(), names.end());
    for (const auto& [id, job] : known_) ids.insert(id);
    for (const std::string& id : ids) HATCHERY_RETURN_IF_ERROR(CheckJob(id));
    return {};
  }

  Status CheckJob(const std::string& id) {
    const auto known = known_.find(id);
    const RunDir run(*disk_, directory_ + "/jobs/" + id);
    if (known != known_.end() && IsOver(known->second)) {
      HATCHERY_ASSIGN_OR_RETURN(const bool removed, IsRemoved(run));
      if (removed) {  // somebody made room; the coordinator lists the job all the same
        Report(run.path(), State::kLeftover,
               "its files were removed; its job is over, and stays so in the catalogue");
        return {};
      }
    }
    RunCheckOptions options = *options_;
    options.files_directory = directory_ + "/files";
    if (known != known_.end()) {
      options.known_job = &known->second.job();
      options.known_steps = known->second.step();
    }
    RunCheck check(*disk_, run, options, *report_);
    HATCHERY_RETURN_IF_ERROR(check.Check());
    if (!check.journal() || !check.journal()->has_header) return {};
    const v1::Job& job = check.journal()->header.job;
    const Need need{id, check.journal()->closing.has_value()};
    Needs(job.train().sha256(), need);
    if (HasHeldOut(job)) Needs(job.held_out().sha256(), need);
    if (!job.initial_sha256().empty()) Needs(job.initial_sha256(), need);
    return {};
  }

  static bool IsOver(const v1::JobState& job) {
    return job.state() == v1::JobState::FINISHED || job.state() == v1::JobState::CANCELLED;
  }

  // A journal that is missing beside checkpoints was lost rather than removed.
  static StatusOr<bool> IsRemoved(const RunDir& run) {
    HATCHERY_ASSIGN_OR_RETURN(const auto checkpoints, run.Checkpoints());
    return checkpoints.empty() && !run.HasJournal();
  }

  // An unfinished job's need is the more urgent.
  void Needs(const std::string& sha256, const Need& need) {
    const auto [found, added] = needs_.emplace(sha256, need);
    if (!added && found->second.finished) found->second = need;
  }

  Status CheckFiles() {
    HATCHERY_ASSIGN_OR_RETURN(const auto names, List("/files"));
    for (const std::string& name : names) {
      const std::string path = directory_ + "/files/" + name;
      if (IsSha256Hex(name))
        HATCHERY_RETURN_IF_ERROR(CheckFile(path, name));
      else if (name.find(".aside") != std::string::npos)
        Report(path, State::kLeftover, "kept by a repair; delete it when it is of no more use");
      else if (name.starts_with("incoming-") && !options_->in_use)
        HATCHERY_RETURN_IF_ERROR(DropIncoming(path));
    }
    for (const auto& [sha256, need] : needs_) ReportMissing(sha256, need);
    return {};
  }

  Status CheckFile(const std::string& path, const std::string& name) {
    const auto hash = Sha256OfFile(path);
    if (hash.ok() && ToHex(*hash) == name) {
      Report(path, State::kOk, "has the SHA-256 of its name");
      needs_.erase(name);
      return {};
    }
    const std::string cause = hash.ok() ? "has SHA-256 " + ToHex(*hash) + " instead of its name"
                                        : hash.status().message();
    if (!options_->repair || !hash.ok()) {
      Report(path, State::kDamaged, cause);
      needs_.erase(name);
      return {};
    }
    HATCHERY_ASSIGN_OR_RETURN(const std::string aside, MoveAside(*disk_, path));
    Report(path, State::kRepaired, cause + "; moved to " + aside);
    return {};
  }

  Status DropIncoming(const std::string& path) {
    if (options_->repair) HATCHERY_RETURN_IF_ERROR(disk_->Remove(path));
    Report(path, State::kLeftover,
           std::string("an upload that was cut short") + (options_->repair ? "; removed" : ""));
    return {};
  }

  void ReportMissing(const std::string& sha256, const Need& need) const {
    const std::string path = directory_ + "/files/" + sha256;
    if (need.finished)
      Report(path, State::kLeftover, "missing; job " + need.job_id + ", finished, was made of it");
    else
      Report(path, State::kDamaged,
             "missing; job " + need.job_id +
                 " cannot go on without it: put the data file there under this name");
  }

  StatusOr<std::vector<std::string>> List(const std::string& part) const {
    if (!disk_->Exists(directory_ + part)) return std::vector<std::string>();
    return disk_->List(directory_ + part);
  }

  Disk* disk_;
  std::string directory_;
  const RunCheckOptions* options_;
  const ReportSink* report_;
  std::map<std::string, v1::JobState> known_;
  std::map<std::string, Need> needs_;  // files of jobs, by SHA-256
};

}  // namespace

Status CheckDataDir(Disk& disk, const std::string& directory, const RunCheckOptions& options,
                    const ReportSink& report) {
  return DataDirCheck(disk, directory, options, report).Check();
}

}  // namespace hatchery

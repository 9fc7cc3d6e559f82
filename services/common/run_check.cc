// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/run_check.h"

#include "services/common/checkpoint.h"
#include "services/common/counted.h"
#include "services/common/job.h"
#include "services/common/journal_repair.h"
#include "services/common/replay.h"

namespace hatchery {
namespace {

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

Status RunCheck::Check() {
  // Before the journal: a checkpoint that is stored meanwhile may lie beyond what was read.
  HATCHERY_RETURN_IF_ERROR(ReadCheckpoints());
  HATCHERY_RETURN_IF_ERROR(CheckJournal());
  for (const Stored& stored : checkpoints_) HATCHERY_RETURN_IF_ERROR(CheckCheckpoint(stored));
  CheckFinalCheckpoint();
  HATCHERY_RETURN_IF_ERROR(CheckLeftovers(run_->path()));
  return CheckLeftovers(run_->path() + "/checkpoints");
}

void RunCheck::Report(const std::string& path, State state, std::string text,
                      std::optional<uint64_t> byte, std::optional<uint32_t> step) const {
  (*report_)(FileReport{path, state, std::move(text), byte, step});
}

// Messages name their file and a remedy; reports do so themselves.
std::string RunCheck::Cause(const Status& status, const std::string& path) const {
  std::string text = status.message();
  text = text.substr(0, text.rfind("; restore the file from a copy"));
  if (!text.starts_with(path)) return text;
  const size_t begin = text.find_first_not_of(": ", path.size());
  return begin == std::string::npos ? text : text.substr(begin);
}

// ---- The journal -------------------------------------------------------------------------------

void RunCheck::Add(State state, const std::string& text, std::optional<uint64_t> byte,
                   std::optional<uint32_t> step) {
  FileReport& report = journal_report_;
  report.state = std::max(report.state, state);
  report.text += (report.text.empty() ? "" : "; ") + text;
  if (!report.byte) report.byte = byte;
  if (!report.step) report.step = step;
}

Status RunCheck::CheckJournal() {
  journal_report_.path = run_->journal_path();
  if (run_->HasJournal()) {
    auto scan = ScanJournal(*disk_, run_->journal_path());
    if (scan.ok())
      scan_ = std::move(*scan);
    else
      Add(State::kDamaged, Cause(scan.status(), run_->journal_path()) + "; left alone");
  } else if (checkpoints_.empty() && options_->known_job == nullptr) {
    Report(run_->path(), State::kLeftover, "no journal: a crash came before the run was created");
    return {};
  }
  if (!scan_ && !journal_report_.text.empty()) {
    (*report_)(journal_report_);
    return {};
  }
  if (!scan_ || !scan_->has_header) HATCHERY_RETURN_IF_ERROR(CheckHeader());
  if (scan_ && scan_->has_header) {
    HATCHERY_RETURN_IF_ERROR(CheckRecords());
    HATCHERY_RETURN_IF_ERROR(CheckInitial());  // a replay starts from it
    if (options_->new_replica) HATCHERY_RETURN_IF_ERROR(Prove());
    CheckAnnounced();
    if (journal_report_.state == State::kOk)
      Add(State::kOk, DescribeJournal(), {}, scan_->commits());
  }
  (*report_)(journal_report_);
  return {};
}

std::string RunCheck::DescribeJournal() const {
  std::string text = Counted(scan_->commits(), "commit");
  text += scan_->closing ? ", finished with digest " + FormatDigest(scan_->closing->digest)
                         : ", not finished";
  return text + (proven_ ? ", every digest proven by replay" : "");
}

// The header is damaged or the whole journal is missing.
Status RunCheck::CheckHeader() {
  const std::string cause = scan_ ? Cause(scan_->damage, run_->journal_path()) : "it is missing";
  if (!options_->repair) {
    Add(State::kDamaged, cause, 0, 0);
    return {};
  }
  std::vector<v1::Job> jobs;
  if (options_->known_job != nullptr) jobs.push_back(*options_->known_job);
  for (const Stored& stored : checkpoints_)
    if (stored.status.ok()) jobs.push_back(stored.job);
  if (!jobs.empty()) HATCHERY_RETURN_IF_ERROR(run_->Create());
  const auto restored = RestoreHeader(*disk_, run_->journal_path(), jobs);
  if (!restored.ok() && restored.status().code() != StatusCode::kNotFound) return restored.status();
  if (!restored.ok() && !scan_) {
    Add(State::kDamaged, "it is missing, and nothing tells its job; restore it from a copy", 0, 0);
    return {};
  }
  if (!restored.ok()) {
    // Out of the way, so that the job can be started again here.
    HATCHERY_ASSIGN_OR_RETURN(const std::string aside, MoveAside(*disk_, run_->journal_path()));
    Add(State::kRepaired,
        cause + "; nothing tells its job, so it was moved to " + NameOf(aside) +
            "; train the same job here to make the run again",
        0, 0);
    scan_.reset();
    return {};
  }
  HATCHERY_ASSIGN_OR_RETURN(scan_, ScanJournal(*disk_, run_->journal_path()));
  const std::string kept =
      restored->kept_in.empty() ? "" : "; the old file is kept in " + NameOf(restored->kept_in);
  Add(State::kRepaired,
      cause + "; its header was written anew" +
          (restored->proof == HeaderProof::kProven
               ? ", and is the one that was there"
               : " from the job as it is known elsewhere, and training starts again at step 0") +
          kept,
      0, 0);
  return {};
}

Status RunCheck::CheckRecords() {
  if (scan_->whole() || (options_->in_use && scan_->damage.ok())) return {};
  const std::string cause = scan_->damage.ok()
                                ? "an incomplete record of " + std::to_string(scan_->torn_bytes) +
                                      " bytes at byte " + std::to_string(scan_->good_end) +
                                      ", a write that was cut short"
                                : Cause(scan_->damage, run_->journal_path());
  return CutOrReport(cause, scan_->good_end, scan_->commits());
}

Status RunCheck::CutOrReport(const std::string& cause, uint64_t offset, uint32_t commits) {
  if (!options_->repair) {
    Add(State::kDamaged, cause + "; " + Counted(commits, "commit") + " before it are whole", offset,
        commits);
    return {};
  }
  HATCHERY_ASSIGN_OR_RETURN(const std::string kept,
                            CutJournal(*disk_, run_->journal_path(), offset));
  HATCHERY_ASSIGN_OR_RETURN(scan_, ScanJournal(*disk_, run_->journal_path()));
  Add(State::kRepaired,
      cause + "; cut to " + Counted(commits, "commit") + ", what followed is kept in " +
          NameOf(kept),
      offset, commits);
  return {};
}

// Replays the whole records.
Status RunCheck::Prove() {
  const v1::Job& job = scan_->header.job;
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  HATCHERY_ASSIGN_OR_RETURN(const auto replica, options_->new_replica(spec));
  if (const Status initial = RestoreInitial(*disk_, *run_, job, *replica); !initial.ok()) {
    Add(State::kDamaged, "it cannot be replayed: " + initial.message());
    return {};
  }
  HATCHERY_ASSIGN_OR_RETURN(const auto journal, JournalReader::Open(*disk_, run_->journal_path()));
  ReplayOptions replay;
  if (!scan_->closing) replay.until_step = scan_->commits();
  const auto result = Replay(*journal, *replica, replay);
  proven_ = result.ok();
  if (result.ok()) {
    end_digest_ = result->digest;
    return {};
  }
  if (result.status().code() != StatusCode::kDataLoss) return result.status();
  const uint32_t step = replica->step();
  if (step == 0 || step > scan_->commits()) {
    Add(State::kDamaged, result.status().message() + "; nothing of it can be proven", 0, 0);
    return {};
  }
  // The commit before the difference may be the wrong one: only a later digest proves a commit.
  const core::Digest proven = scan_->digests[step - 1];
  HATCHERY_RETURN_IF_ERROR(
      CutOrReport(result.status().message(), scan_->starts[step - 1], step - 1));
  if (options_->repair) end_digest_ = proven;
  return {};
}

// A journal cut between two records looks whole; whoever heard of its commits knows better.
void RunCheck::CheckAnnounced() {
  if (scan_->commits() >= options_->known_steps) return;
  const std::string cause = "it has " + Counted(scan_->commits(), "commit") +
                            ", but the catalogue knows of " + std::to_string(options_->known_steps);
  if (options_->repair)
    Add(State::kRepaired,
        cause + "; the coordinator pauses the job, and after hatchery resume makes the steps again",
        scan_->good_end, scan_->commits());
  else
    Add(State::kDamaged, cause + "; restore it from a backup, or make the steps again",
        scan_->good_end, scan_->commits());
}

// ---- Checkpoints -------------------------------------------------------------------------------

Status RunCheck::ReadCheckpoints() {
  HATCHERY_ASSIGN_OR_RETURN(const auto steps, run_->Checkpoints());
  for (const uint32_t step : steps) {
    auto checkpoint = ReadCheckpoint(*disk_, run_->checkpoint_path(step));
    // Retention took it since it was listed.
    if (checkpoint.status().code() == StatusCode::kNotFound) continue;
    Stored& stored = checkpoints_.emplace_back();
    stored.file_step = step;
    stored.status = checkpoint.status();
    if (!checkpoint.ok()) continue;
    stored.step = checkpoint->step;
    stored.digest = checkpoint->digest;
    stored.job = std::move(checkpoint->job);
  }
  return {};
}

std::optional<core::Digest> RunCheck::DigestAt(uint32_t step) const {
  if (const auto digest = scan_->DigestAt(step)) return digest;
  return step == scan_->commits() ? end_digest_ : std::nullopt;
}

std::string RunCheck::Fault(const Stored& stored) const {
  if (!stored.status.ok()) return Cause(stored.status, run_->checkpoint_path(stored.file_step));
  if (stored.step != stored.file_step)
    return "it is of step " + std::to_string(stored.step) + ", not of the step in its name";
  if (!scan_ || !scan_->has_header) return "";
  if (const Status same = CheckSameRun(stored.job, scan_->header.job); !same.ok())
    return "it is of another job than the journal: " + same.message();
  if (stored.step > scan_->commits())
    return options_->in_use ? ""
                            : "it lies beyond the journal, which ends at step " +
                                  std::to_string(scan_->commits());
  const auto expected = DigestAt(stored.step);
  if (!expected || *expected == stored.digest) return "";
  return "it has digest " + FormatDigest(stored.digest) + ", but the journal " +
         FormatDigest(*expected);
}

Status RunCheck::CheckCheckpoint(const Stored& stored) {
  const std::string path = run_->checkpoint_path(stored.file_step);
  const std::string fault = Fault(stored);
  const bool comparable = scan_ && scan_->has_header && DigestAt(stored.step).has_value();
  if (fault.empty()) {
    Report(path, State::kOk,
           "digest " + FormatDigest(stored.digest) +
               (comparable ? ", as in the journal" : ", of which the journal does not tell"),
           {}, stored.file_step);
    return {};
  }
  const std::string remedy = "; hatchery replay DIR --at " + std::to_string(stored.file_step) +
                             " --out FILE makes it again";
  if (!options_->repair) {
    Report(path, State::kDamaged, fault + remedy, {}, stored.file_step);
    return {};
  }
  HATCHERY_ASSIGN_OR_RETURN(const std::string aside, MoveAside(*disk_, path));
  Report(path, State::kRepaired, fault + "; moved to " + NameOf(aside) + remedy, {},
         stored.file_step);
  return {};
}

void RunCheck::CheckFinalCheckpoint() const {
  if (options_->in_use || !scan_ || !scan_->closing) return;
  const std::string path = run_->checkpoint_path(scan_->closing->step);
  if (disk_->Exists(path)) return;
  Report(path, State::kLeftover, "missing; it is made again when the run is opened", {},
         scan_->closing->step);
}

// ---- Other files -------------------------------------------------------------------------------

Status RunCheck::CheckInitial() {
  if (scan_->header.job.initial_sha256().empty()) return {};
  const std::string& sha256 = scan_->header.job.initial_sha256();
  const std::string path = run_->initial_path();
  const auto bytes = ReadWholeFile(*disk_, path);
  if (bytes.ok() && ToHex(Sha256Of(*bytes)) == sha256) {
    Report(path, State::kOk, "the weights that the job starts from, by their SHA-256");
    return {};
  }
  const std::string cause = bytes.ok() ? "it has not the SHA-256 that the job names" : "missing";
  if (options_->repair && !options_->files_directory.empty()) {
    const auto copy = ReadWholeFile(*disk_, options_->files_directory + "/" + sha256);
    if (copy.ok() && ToHex(Sha256Of(*copy)) == sha256) {
      HATCHERY_RETURN_IF_ERROR(disk_->WriteAtomically(path, *copy));
      Report(path, State::kRepaired, cause + "; written anew from the uploaded files");
      return {};
    }
  }
  Report(path, State::kDamaged, cause + "; put the file with SHA-256 " + sha256 + " there");
  return {};
}

Status RunCheck::CheckLeftovers(const std::string& directory) {
  if (!disk_->Exists(directory)) return {};
  HATCHERY_ASSIGN_OR_RETURN(const auto names, disk_->List(directory));
  for (const std::string& name : names) {
    const std::string path = directory + "/" + name;
    if (name.ends_with(".partial") && !options_->in_use) {
      if (options_->repair) HATCHERY_RETURN_IF_ERROR(disk_->Remove(path));
      Report(path, State::kLeftover,
             std::string("a file that a crash cut short before it counted") +
                 (options_->repair ? "; removed" : ""));
    } else if (name.find(".aside") != std::string::npos || name.starts_with("journal.cut-")) {
      Report(path, State::kLeftover, "kept by a repair; delete it when it is of no more use");
    }
  }
  return {};
}

}  // namespace hatchery

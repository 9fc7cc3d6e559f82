// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Checks, and repairs, the files of one run. docs/reliability.md says what is done in which case.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hatchery/v1/job.pb.h"
#include "kernels/replica.h"
#include "kernels/status.h"
#include "services/common/disk.h"
#include "services/common/file_report.h"
#include "services/common/journal_scan.h"
#include "services/common/run_dir.h"

namespace hatchery {

// A fresh replica that needs no data: for replay.
using ReplicaMaker = std::function<StatusOr<std::unique_ptr<Replica>>(const JobSpec&)>;

struct RunCheckOptions {
  bool repair = false;  // the caller holds the directory's lock
  bool in_use = false;  // somebody writes: what is unfinished is not wrong
  // Replays the commits and compares every digest; null: the journal's digests are taken as true.
  ReplicaMaker new_replica;
  // What a coordinator's catalogue says of the job; null if nothing does.
  const v1::Job* known_job = nullptr;
  uint32_t known_steps = 0;  // commits that were announced
  // Where the initial weights can be had again, by their SHA-256; may be empty.
  std::string files_directory;
};

// One run. Use once.
class RunCheck {
 public:
  // All must outlive this.
  RunCheck(Disk& disk, const RunDir& run, const RunCheckOptions& options, const ReportSink& report)
      : disk_(&disk), run_(&run), options_(&options), report_(&report) {}

  // Checks every file. An error means that the check could not be done; damage is reported to the
  // sink and is no error.
  Status Check();
  // The journal as Check found it, or left it; nothing if it cannot be read.
  const std::optional<JournalScan>& journal() const { return scan_; }

 private:
  using State = FileReport::State;
  // A checkpoint file without its weights.
  struct Stored {
    uint32_t file_step = 0;  // by its name
    Status status;           // of reading it
    uint32_t step = 0;
    core::Digest digest;
    v1::Job job;
  };

  void Report(const std::string& path, State state, std::string text,
              std::optional<uint64_t> byte = {}, std::optional<uint32_t> step = {}) const;
  std::string Cause(const Status& status, const std::string& path) const;

  // The journal, and what a replay needs. What is found goes to journal_report_.
  Status CheckJournal();
  Status CheckHeader();
  Status CheckRecords();
  Status CheckInitial();
  Status Prove();
  void CheckAnnounced();
  Status CutOrReport(const std::string& cause, uint64_t offset, uint32_t commits);
  void Add(State state, const std::string& text, std::optional<uint64_t> byte = {},
           std::optional<uint32_t> step = {});
  std::string DescribeJournal() const;

  Status ReadCheckpoints();
  Status CheckCheckpoint(const Stored& stored);
  // What is wrong with it; empty if nothing is.
  std::string Fault(const Stored& stored) const;
  std::optional<core::Digest> DigestAt(uint32_t step) const;
  void CheckFinalCheckpoint() const;
  Status CheckLeftovers(const std::string& directory);

  Disk* disk_;
  const RunDir* run_;
  const RunCheckOptions* options_;
  const ReportSink* report_;
  std::vector<Stored> checkpoints_;
  std::optional<JournalScan> scan_;
  FileReport journal_report_;
  std::optional<core::Digest> end_digest_;  // after the last commit, by replay
  bool proven_ = false;                     // every digest agreed with a replay
};

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"
#include "kernels/core/digest.h"
#include "services/common/dataset.h"
#include "services/common/disk.h"
#include "services/common/journal.h"
#include "services/common/run_dir.h"

namespace hatchery::coordinator {

// The steps of one job that are durable, as its journal tells them.
struct JobHistory {
  v1::Job job;
  core::Digest initial_digest;
  std::vector<v1::JobUpdate> updates;       // one a commit
  std::map<uint32_t, std::string> digests;  // before the newest kDigestsKept commits, 16 bytes each
  std::optional<ClosingRecord> closing;
  uint64_t torn_bytes = 0;  // cut off the journal's end: a write that a crash broke off
};

// The coordinator's data directory:
//   DIR/lock  DIR/catalogue.sqlite  DIR/files/SHA256  DIR/jobs/ID/ (a RunDir each)
// Everything but jobs' journals is written at once or not at all. Thread-safe; the journal of one
// job is used by one thread at a time.
class JobStore {
 public:
  // Milliseconds since 1970 UTC.
  using Clock = std::function<int64_t()>;

  // Takes the directory's lock: one coordinator a directory. With a clock, journals hold notes of
  // the time (services/common/run_events.h).
  static StatusOr<std::unique_ptr<JobStore>> Open(Disk& disk, const std::string& directory,
                                                  Clock clock = {});

  const FileStore& files() const { return files_; }
  const std::string& directory() const { return directory_; }
  // To journals, since the store was opened.
  uint64_t appended_bytes() const { return appended_bytes_; }
  std::string catalogue_path() const { return directory_ + "/catalogue.sqlite"; }
  RunDir Run(const std::string& job_id) const { return {*disk_, directory_ + "/jobs/" + job_id}; }

  // Ids are counted up: the n-th job submitted here; 0 if it is no job's id.
  static uint64_t NumberOf(const std::string& id);
  // Ids of the stored jobs, in the order of their submission.
  StatusOr<std::vector<std::string>> JobIds() const;
  // An id that no job has had: neither one of these nor one whose files are here.
  StatusOr<std::string> NewId(const std::vector<v1::JobState>& jobs) const;

  // Creates the job's directory and journal, durably. Computes the initial weights' digest; a job
  // that starts from given weights must name a stored file.
  StatusOr<core::Digest> Create(const std::string& job_id, const v1::Job& job);
  // Reads the job's journal and opens it for appending.
  StatusOr<JobHistory> Recover(const std::string& job_id);
  // Appends and syncs. After an error the journal is as before, but for notes of the time, and the
  // next Append opens it anew.
  Status Append(const std::string& job_id, const std::variant<CommitRecord, ClosingRecord>& record);
  // The job does not run now: the time until its next commit tells nothing of its speed.
  void StopClock(const std::string& job_id);

 private:
  // When a job's steps were reached, since its clock was last stopped.
  struct TimeNotes {
    int64_t started = 0, noted = 0;      // by the clock: the first step, and the newest one written
    std::optional<EventRecord> reached;  // the newest step, unless it is written
  };

  JobStore(Disk& disk, std::string directory, Clock clock)
      : disk_(&disk),
        directory_(std::move(directory)),
        files_(directory_ + "/files"),
        clock_(std::move(clock)) {}
  // The note that is to precede the next record: not every step's, but the last one's.
  std::optional<EventRecord> DueNote(const std::string& job_id, bool closing);
  void NoteTime(const std::string& job_id, uint32_t step);
  // Opens the journal if it is not open; `last` is then its last record.
  StatusOr<JournalWriter*> Writer(const std::string& job_id, std::optional<JournalRecord>& last);
  // Of the weights that the job starts from; if it names a file of them, its bytes too.
  StatusOr<core::Digest> InitialDigest(const v1::Job& job, std::string& initial_file);

  Disk* disk_;
  std::string directory_;
  FileStore files_;
  Clock clock_;
  std::unique_ptr<DirectoryLock> lock_;
  std::atomic<uint64_t> appended_bytes_ = 0;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<JournalWriter>> writers_;
  std::map<std::string, TimeNotes> times_;
};

}  // namespace hatchery::coordinator

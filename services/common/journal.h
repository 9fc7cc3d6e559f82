// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The journal: the durable list of a run's commits, from which anyone can rebuild its weights. An
// append-only file; its bytes are in docs/journal.md. A file that is downloaded as it is is a
// journal too.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "hatchery/v1/job.pb.h"
#include "kernels/commit.h"
#include "kernels/core/digest.h"
#include "kernels/replica.h"
#include "kernels/status.h"
#include "services/common/disk.h"
#include "services/common/sha256.h"

namespace hatchery {

inline constexpr uint32_t kJournalFormatVersion = 1;

struct JournalHeader {
  v1::Job job;
  core::Digest initial_digest;  // of the replica at step 0
  std::string software;         // who wrote it: "hatchery 0.1.0"
};

// One step.
struct CommitRecord {
  Commit commit;
  core::Digest digest_before;  // of the replica that the scores were computed on
  int64_t score_sum = 0;       // of all members, 1/4096 bit
  uint64_t scored_tokens = 0;  // population * window
  uint32_t nonzero_pairs = 0;  // pairs whose fitness is not 0
  // Measured on the weights before the commit; present at steps where ValidatesAt(job, step).
  std::optional<HeldOutSums> held_out;

  bool operator==(const CommitRecord&) const = default;
};

// Something worth knowing that changes no weight.
struct EventRecord {
  int64_t unix_milliseconds = 0;
  uint32_t step = 0;
  std::string kind;  // one word, at most 255 bytes
  std::string text;  // one line

  bool operator==(const EventRecord&) const = default;
};

// The run is over; nothing follows.
struct ClosingRecord {
  uint32_t step = 0;  // commits in all
  core::Digest digest;
  std::optional<HeldOutSums> held_out;  // of the final weights

  bool operator==(const ClosingRecord&) const = default;
};

using JournalRecord = std::variant<CommitRecord, EventRecord, ClosingRecord>;

// Reads a journal from the start, checking every byte. Corruption (a CRC, the chain, or a record
// that makes no sense) is kDataLoss naming file, record and byte offset. An incomplete last record
// is a torn tail: a write that a crash cut short, never announced to anyone.
class JournalReader {
 public:
  enum class Outcome { kRecord, kEnd, kTornTail };

  static StatusOr<std::unique_ptr<JournalReader>> Open(Disk& disk, const std::string& path);

  const JournalHeader& header() const { return header_; }
  // Reads the next record into `record`. After kEnd a writer may have appended more: call again.
  StatusOr<Outcome> Next(JournalRecord& record);

  const std::string& path() const { return path_; }
  uint64_t good_end() const { return offset_; }        // bytes that were read and are right
  uint64_t torn_bytes() const { return torn_bytes_; }  // after them, when Next said kTornTail
  uint32_t next_step() const { return next_step_; }    // commits read so far
  bool closed() const { return closed_; }
  const Sha256Hash& chain() const { return chain_; }

 private:
  JournalReader(std::string path, std::unique_ptr<ReadFile> file)
      : path_(std::move(path)), file_(std::move(file)) {}
  Status ReadHeader();
  // Whether the file has nothing but zeros in [begin, end).
  StatusOr<bool> ZerosFrom(uint64_t begin, uint64_t end);
  // The payload of the record at offset_, checked; advances.
  StatusOr<Outcome> ReadRaw(uint32_t& type, std::string& payload);
  Status Accept(const JournalRecord& record, uint64_t at);
  Status Corrupt(uint64_t at, const std::string& what) const;
  StatusOr<Outcome> Torn(uint64_t bytes);

  std::string path_;
  std::unique_ptr<ReadFile> file_;
  JournalHeader header_;
  JobSpec spec_;
  Sha256Hash chain_{};
  uint64_t offset_ = 0;
  uint64_t records_ = 0;  // read so far, the header included
  uint64_t torn_bytes_ = 0;
  uint32_t next_step_ = 0;
  bool closed_ = false;
};

// Appends to a journal. Every Append is all or nothing: if it fails, the file ends where it did
// before. Nothing is durable until Sync. After a failed Sync, or if cutting a failed append off
// fails too, the writer refuses everything: open the journal anew.
class JournalWriter {
 public:
  enum class TornTail { kRefuse, kTruncate };
  using Visitor = std::function<Status(const JournalRecord&)>;

  // Creates the journal, durably; kAlreadyExists if `path` does.
  static StatusOr<std::unique_ptr<JournalWriter>> Create(Disk& disk, const std::string& path,
                                                         const JournalHeader& header);
  // Reads the whole journal, showing every record to `visit` (may be empty), and opens it for
  // appending; all that was read is durable then, whatever became of its writer. A torn tail is
  // kDataLoss, or is cut off if the caller says so; see torn_bytes().
  static StatusOr<std::unique_ptr<JournalWriter>> OpenForAppend(Disk& disk, const std::string& path,
                                                                TornTail torn_tail,
                                                                const Visitor& visit = {});

  Status Append(const CommitRecord& record);
  Status Append(const EventRecord& record);
  Status Append(const ClosingRecord& record);
  Status Sync();

  const JournalHeader& header() const { return header_; }
  const std::string& path() const { return path_; }
  uint32_t next_step() const { return next_step_; }  // step that the next commit must have
  bool closed() const { return closed_; }
  uint64_t bytes() const { return end_; }
  uint64_t torn_bytes() const { return torn_bytes_; }  // cut off by OpenForAppend

 private:
  JournalWriter(std::string path, std::unique_ptr<AppendFile> file)
      : path_(std::move(path)), file_(std::move(file)) {}
  Status AppendRecord(uint32_t type, const std::string& payload);

  std::string path_;
  std::unique_ptr<AppendFile> file_;
  JournalHeader header_;
  Sha256Hash chain_{};
  uint64_t end_ = 0;
  uint64_t torn_bytes_ = 0;
  size_t unsynced_ = 0;  // records appended since the last sync
  uint32_t next_step_ = 0;
  bool closed_ = false;
  Status broken_;
};

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <deque>

#include "services/common/journal.h"
#include "services/common/journal_format.h"

namespace hatchery {

using namespace journal_format;  // NOLINT: the format is ours to write

namespace {

// No journal has more of them: what a dead writer may have left, and its reader must see to.
constexpr size_t kUnsyncedRecords = 4;

// Makes the bytes [from, end) of a journal durable, and its name. Its writer may have died before
// its sync, or the sync have failed; so may a repair that put it where it is.
Status MakeDurable(Disk& disk, const std::string& path, uint64_t from, uint64_t end,
                   AppendFile& file) {
  HATCHERY_ASSIGN_OR_RETURN(const auto reader, disk.OpenRead(path));
  HATCHERY_ASSIGN_OR_RETURN(const std::string bytes, reader->Read(from, end - from));
  HATCHERY_RETURN_IF_ERROR(file.Rewrite(from, bytes));
  HATCHERY_RETURN_IF_ERROR(file.Sync());
  return disk.SyncName(path);
}

}  // namespace

StatusOr<std::unique_ptr<JournalWriter>> JournalWriter::Create(Disk& disk, const std::string& path,
                                                               const JournalHeader& header) {
  if (disk.Exists(path)) return AlreadyExists(path + " exists already");
  std::string bytes = Preamble();
  Sha256Hash chain = Sha256Of(bytes);
  bytes += Frame(kHeader, EncodeHeader(header), chain);
  HATCHERY_RETURN_IF_ERROR(disk.WriteAtomically(path, bytes));
  HATCHERY_ASSIGN_OR_RETURN(auto file, disk.OpenAppend(path));
  std::unique_ptr<JournalWriter> writer(new JournalWriter(path, std::move(file)));
  writer->header_ = header;
  writer->chain_ = chain;
  writer->end_ = bytes.size();
  return writer;
}

StatusOr<std::unique_ptr<JournalWriter>> JournalWriter::OpenForAppend(Disk& disk,
                                                                      const std::string& path,
                                                                      TornTail torn_tail,
                                                                      const Visitor& visit) {
  HATCHERY_ASSIGN_OR_RETURN(auto reader, JournalReader::Open(disk, path));
  JournalRecord record;
  JournalReader::Outcome outcome;
  std::deque<uint64_t> last;  // where the last records begin
  for (;;) {
    last.push_back(reader->good_end());
    if (last.size() > kUnsyncedRecords + 1) last.pop_front();
    HATCHERY_ASSIGN_OR_RETURN(outcome, reader->Next(record));
    if (outcome != JournalReader::Outcome::kRecord) break;
    if (visit) HATCHERY_RETURN_IF_ERROR(visit(record));
  }
  HATCHERY_ASSIGN_OR_RETURN(auto file, disk.OpenAppend(path));
  if (outcome == JournalReader::Outcome::kTornTail) {
    if (torn_tail == TornTail::kRefuse)
      return DataLoss(path + " ends in an incomplete record of " +
                      std::to_string(reader->torn_bytes()) + " bytes at byte " +
                      std::to_string(reader->good_end()));
    HATCHERY_RETURN_IF_ERROR(file->Truncate(reader->good_end()));
  }
  HATCHERY_RETURN_IF_ERROR(MakeDurable(disk, path, last.front(), reader->good_end(), *file));
  std::unique_ptr<JournalWriter> writer(new JournalWriter(path, std::move(file)));
  writer->header_ = reader->header();
  writer->chain_ = reader->chain();
  writer->end_ = reader->good_end();
  writer->torn_bytes_ = reader->torn_bytes();
  writer->next_step_ = reader->next_step();
  writer->closed_ = reader->closed();
  return writer;
}

Status JournalWriter::Append(const CommitRecord& record) {
  if (record.commit.step != next_step_)
    return FailedPrecondition(path_ + " is at step " + std::to_string(next_step_) +
                              "; a commit of step " + std::to_string(record.commit.step) +
                              " cannot follow");
  HATCHERY_RETURN_IF_ERROR(AppendRecord(kCommit, Encode(record)));
  ++next_step_;
  return {};
}

Status JournalWriter::Append(const EventRecord& record) {
  return AppendRecord(kEvent, Encode(record));
}

Status JournalWriter::Append(const ClosingRecord& record) {
  if (record.step != next_step_)
    return FailedPrecondition(path_ + " is at step " + std::to_string(next_step_) +
                              "; it cannot be closed at step " + std::to_string(record.step));
  HATCHERY_RETURN_IF_ERROR(AppendRecord(kClosing, Encode(record)));
  closed_ = true;
  return {};
}

Status JournalWriter::AppendRecord(uint32_t type, const std::string& payload) {
  if (!broken_.ok()) return broken_;
  if (closed_) return FailedPrecondition(path_ + " is closed; nothing can follow");
  if (unsynced_ == kUnsyncedRecords) HATCHERY_RETURN_IF_ERROR(Sync());
  Sha256Hash chain = chain_;
  const std::string record = Frame(type, payload, chain);
  const Status appended = file_->Append(record);
  if (!appended.ok()) {
    // What was written of it must not stand in the way of the next record.
    if (!file_->Truncate(end_).ok()) broken_ = appended;
    return appended;
  }
  chain_ = chain;
  end_ += record.size();
  ++unsynced_;
  return {};
}

Status JournalWriter::Sync() {
  if (!broken_.ok()) return broken_;
  // After a failed sync nobody knows what reached the disk; opening the file anew sees to it.
  broken_ = file_->Sync();
  if (broken_.ok()) unsynced_ = 0;
  return broken_;
}

}  // namespace hatchery

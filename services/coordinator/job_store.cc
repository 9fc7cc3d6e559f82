// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/job_store.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "kernels/model.h"
#include "services/common/checkpoint.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/run_events.h"
#include "services/coordinator/core.h"
#include "services/coordinator/progress.h"

namespace hatchery::coordinator {

uint64_t JobStore::NumberOf(const std::string& id) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
  return error == std::errc() && end == id.data() + id.size() ? number : 0;
}

StatusOr<std::unique_ptr<JobStore>> JobStore::Open(Disk& disk, const std::string& directory,
                                                   Clock clock) {
  std::unique_ptr<JobStore> store(new JobStore(disk, directory, std::move(clock)));
  for (const char* part : {"", "/files", "/jobs"})
    if (const Status made = disk.CreateDirectory(directory + part); !made.ok())
      return Status(made.code(), made.message() + "; choose another with --data-dir");
  HATCHERY_ASSIGN_OR_RETURN(store->lock_, disk.Lock(directory, "coordinator"));
  return store;
}

StatusOr<std::vector<std::string>> JobStore::JobIds() const {
  HATCHERY_ASSIGN_OR_RETURN(std::vector<std::string> ids, disk_->List(directory_ + "/jobs"));
  std::erase_if(ids, [this](const std::string& id) {
    return NumberOf(id) == 0 || !Run(id).HasJournal();  // a crash came before its submission ended
  });
  std::sort(ids.begin(), ids.end(),
            [](const std::string& a, const std::string& b) { return NumberOf(a) < NumberOf(b); });
  return ids;
}

StatusOr<std::string> JobStore::NewId(const std::vector<v1::JobState>& jobs) const {
  HATCHERY_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                            disk_->List(directory_ + "/jobs"));
  uint64_t last = 0;
  for (const std::string& name : names) last = std::max(last, NumberOf(name));
  for (const v1::JobState& job : jobs) last = std::max(last, NumberOf(job.job_id()));
  return std::to_string(last + 1);
}

StatusOr<core::Digest> JobStore::InitialDigest(const v1::Job& job, std::string& initial_file) {
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  const Model model(spec);
  if (job.initial_sha256().empty()) return DigestOfBytes(InitialWeights(model, spec.seed), 0);
  HATCHERY_ASSIGN_OR_RETURN(const auto file, files_.Open(job.initial_sha256()));
  const std::string_view bytes(reinterpret_cast<const char*>(file->bytes().data()),
                               file->bytes().size());
  HATCHERY_ASSIGN_OR_RETURN(const Checkpoint initial,
                            DecodeCheckpoint(bytes, "the initial weights"));
  if (initial.weights.size() != model.bytes() ||
      FormatDigest(initial.digest) != job.initial_digest())
    return InvalidArgument("the initial weights are not those that the job names (digest " +
                           job.initial_digest() + ", " + std::to_string(model.bytes()) + " bytes)");
  initial_file = bytes;
  return initial.digest;
}

StatusOr<core::Digest> JobStore::Create(const std::string& job_id, const v1::Job& job) {
  // The directory last: what cannot be held or started from leaves nothing behind.
  std::string initial;
  HATCHERY_ASSIGN_OR_RETURN(const core::Digest digest, InitialDigest(job, initial));
  HATCHERY_RETURN_IF_ERROR(Run(job_id).Create());
  if (!initial.empty())
    HATCHERY_RETURN_IF_ERROR(disk_->WriteAtomically(Run(job_id).initial_path(), initial));
  const JournalHeader header{job, digest, "hatchery " HATCHERY_VERSION};
  HATCHERY_ASSIGN_OR_RETURN(auto writer,
                            JournalWriter::Create(*disk_, Run(job_id).journal_path(), header));
  std::lock_guard lock(mutex_);
  writers_[job_id] = std::move(writer);
  return digest;
}

StatusOr<JobHistory> JobStore::Recover(const std::string& job_id) {
  const std::string path = Run(job_id).journal_path();
  JobHistory history;
  {
    HATCHERY_ASSIGN_OR_RETURN(const auto reader, JournalReader::Open(*disk_, path));
    history.job = reader->header().job;
    history.initial_digest = reader->header().initial_digest;
  }
  v1::JobUpdate last;
  const auto visit = [&](const JournalRecord& record) -> Status {
    if (const auto* commit = std::get_if<CommitRecord>(&record)) {
      history.updates.push_back(last = UpdateOf(*commit, history.job, last));
      history.digests[commit->commit.step] = DigestToBytes(commit->digest_before);
      if (history.digests.size() > kDigestsKept) history.digests.erase(history.digests.begin());
    }
    if (const auto* closing = std::get_if<ClosingRecord>(&record)) history.closing = *closing;
    return {};
  };
  HATCHERY_ASSIGN_OR_RETURN(
      auto writer,
      JournalWriter::OpenForAppend(*disk_, path, JournalWriter::TornTail::kTruncate, visit));
  history.torn_bytes = writer->torn_bytes();
  std::lock_guard lock(mutex_);
  writers_[job_id] = std::move(writer);
  return history;
}

StatusOr<JournalWriter*> JobStore::Writer(const std::string& job_id,
                                          std::optional<JournalRecord>& last) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<JournalWriter>& writer = writers_[job_id];
  if (writer == nullptr) {
    const auto visit = [&last](const JournalRecord& record) -> Status {
      last = record;
      return {};
    };
    HATCHERY_ASSIGN_OR_RETURN(
        writer, JournalWriter::OpenForAppend(*disk_, Run(job_id).journal_path(),
                                             JournalWriter::TornTail::kTruncate, visit));
  }
  return writer.get();
}

Status JobStore::Append(const std::string& job_id,
                        const std::variant<CommitRecord, ClosingRecord>& record) {
  std::optional<JournalRecord> last;  // set only if the journal had to be opened anew
  HATCHERY_ASSIGN_OR_RETURN(JournalWriter * writer, Writer(job_id, last));
  const JournalRecord wanted = std::visit([](const auto& r) -> JournalRecord { return r; }, record);
  const uint64_t before = writer->bytes();
  // A failed Sync leaves open whether the record reached the file; if it did, it is not written
  // again.
  // A note goes before it, so that it stays the last one.
  const auto note = DueNote(job_id, std::holds_alternative<ClosingRecord>(record));
  Status status = note ? writer->Append(*note) : Status();
  if (status.ok() && last != wanted)
    status = std::visit([writer](const auto& r) { return writer->Append(r); }, record);
  if (status.ok()) status = writer->Sync();
  if (status.ok()) {
    appended_bytes_ += writer->bytes() - before;
    if (const auto* commit = std::get_if<CommitRecord>(&record))
      NoteTime(job_id, commit->commit.step + 1);
  } else {
    std::lock_guard lock(mutex_);
    writers_[job_id].reset();
  }
  return status;
}

std::optional<EventRecord> JobStore::DueNote(const std::string& job_id, bool closing) {
  std::lock_guard lock(mutex_);
  TimeNotes& notes = times_[job_id];
  if (!notes.reached) return {};
  const int64_t at = notes.reached->unix_milliseconds;
  const std::chrono::milliseconds since_note(at - notes.noted), since_start(at - notes.started);
  if (!closing && since_note < TimeBetweenMarks(since_start)) return {};
  notes.noted = at;
  return std::exchange(notes.reached, std::nullopt);
}

void JobStore::NoteTime(const std::string& job_id, uint32_t step) {
  if (!clock_) return;
  std::lock_guard lock(mutex_);
  TimeNotes& notes = times_[job_id];
  EventRecord note{clock_(), step, kTimeEvent, ""};
  if (notes.started == 0) {
    // The first steps after a stop are not timed: nobody knows when workers began them.
    note.kind = step == 1 ? kStartedEvent : kResumedEvent;
    note.text = "workers have done step " + std::to_string(step - 1);
    notes.started = note.unix_milliseconds;
  } else if (notes.reached && notes.reached->kind != kTimeEvent) {
    return;  // that one is to be written first
  }
  notes.reached = note;
}

void JobStore::StopClock(const std::string& job_id) {
  std::lock_guard lock(mutex_);
  times_.erase(job_id);
}

}  // namespace hatchery::coordinator

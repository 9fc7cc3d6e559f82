// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/recovery.h"

#include <map>
#include <utility>

#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/coordinator/progress.h"

namespace hatchery::coordinator {
namespace {

void Pause(JobRecord& record, std::string reason) {
  record.state = v1::JobState::PAUSED;
  record.reason = std::move(reason);
}

bool IsOver(v1::JobState::State state) {
  return state == v1::JobState::FINISHED || state == v1::JobState::CANCELLED;
}

// What the journal knows goes before what the catalogue says.
Status TakeHistory(const JobStore& store, JobHistory history, RecoveredJob& job) {
  JobRecord& record = job.record;
  const int32_t priority = record.job.priority();
  const bool known = !record.job.name().empty();
  record.job = std::move(history.job);
  if (known) record.job.set_priority(priority);
  record.initial_digest = DigestToBytes(history.initial_digest);
  record.step = static_cast<uint32_t>(history.updates.size());
  record.digests = std::move(history.digests);
  if (!history.updates.empty()) record.latest = history.updates.back();
  if (history.closing) {
    record.closing_digest = DigestToBytes(history.closing->digest);
    AddClosing(*history.closing, record.latest);
  }
  if (history.closing) {
    HATCHERY_ASSIGN_OR_RETURN(const auto newest, store.Run(record.id).NewestSound());
    record.final_checkpoint = newest && newest->checkpoint.step == record.job.steps() &&
                              newest->checkpoint.digest == history.closing->digest;
  }
  // The reason of one that is over was that its files were gone.
  if (IsOver(record.state)) record.reason.clear();
  // A closed job without a sound final checkpoint has to be given one by a worker, and a finished
  // one that has lost its closing record or that file is made whole again. What was cancelled stays
  // cancelled.
  if (record.state != v1::JobState::CANCELLED) {
    if (history.closing && record.final_checkpoint) {
      record.state = v1::JobState::FINISHED;
      record.reason.clear();
    } else if (record.state == v1::JobState::FINISHED) {
      record.state = v1::JobState::QUEUED;
    }
  }
  job.updates = std::move(history.updates);
  job.torn_bytes = history.torn_bytes;
  return {};
}

// There is no history to take.
void TakeDamage(const Status& why, const v1::JobState& known, JobRecord& record) {
  record.damaged = true;
  record.step = known.step();
  record.latest = known.latest();
  const bool gone = why.code() == StatusCode::kNotFound;
  if (gone && IsOver(known.state()))  // somebody made room
    record.reason = "its files are gone: " + why.message();
  else
    Pause(record, why.message() +
                      "; stop the coordinator and run `hatchery fsck --repair` on its data "
                      "directory, or restore the journal from a backup");
}

}  // namespace

StatusOr<std::vector<FoundJob>> FindJobs(const JobStore& store,
                                         const std::vector<v1::JobState>& known) {
  std::map<uint64_t, FoundJob> jobs;  // by their number
  HATCHERY_ASSIGN_OR_RETURN(const std::vector<std::string> stored, store.JobIds());
  for (const std::string& id : stored) jobs[JobStore::NumberOf(id)].id = id;
  for (const v1::JobState& job : known)
    if (const uint64_t number = JobStore::NumberOf(job.job_id()); number != 0)
      jobs[number] = {job.job_id(), &job};
  std::vector<FoundJob> found;
  for (auto& [number, job] : jobs) found.push_back(std::move(job));
  return found;
}

StatusOr<RecoveredJob> RecoverJob(JobStore& store, const std::string& id,
                                  const v1::JobState* known) {
  RecoveredJob job;
  JobRecord& record = job.record;
  record.id = id;
  if (known != nullptr) {
    record.job = known->job();
    record.state = known->state();
    record.reason = known->reason();
    record.submitted_unix_seconds = known->submitted_unix_seconds();
  }
  auto history = store.Recover(id);
  if (history.ok()) {
    HATCHERY_RETURN_IF_ERROR(TakeHistory(store, std::move(*history), job));
    if (known == nullptr && record.state != v1::JobState::FINISHED)
      Pause(record, "the catalogue does not know it; resume it or cancel it");
    if (known != nullptr && known->step() > record.step)
      Pause(record, "the journal has " + std::to_string(record.step) + " commits, but " +
                        std::to_string(known->step()) +
                        " were announced: restore the journal from a backup, or resume to train "
                        "the lost steps again");
  } else if (known == nullptr) {
    return history.status();
  } else {
    TakeDamage(history.status(), *known, record);
  }
  HATCHERY_ASSIGN_OR_RETURN(record.spec, SpecFromJob(record.job));
  return job;
}

}  // namespace hatchery::coordinator

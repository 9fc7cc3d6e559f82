// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "services/client/online.h"
#include "services/common/checkpoint.h"
#include "services/common/disk.h"
#include "services/common/run_dir.h"
#include "services/common/sha256.h"

namespace hatchery {
namespace {

struct FetchedCheckpoint {
  uint32_t step = 0;
  std::string bytes;
};

// Nothing if the job has no checkpoint yet.
StatusOr<std::optional<FetchedCheckpoint>> FetchNewest(Online& online, const std::string& job_id) {
  grpc::ClientContext context;
  v1::FetchCheckpointRequest request;
  request.set_job_id(job_id);
  request.set_step(UINT32_MAX);
  const auto reader = online.stub().FetchCheckpoint(&context, request);
  FetchedCheckpoint fetched;
  v1::CheckpointChunk chunk;
  while (reader->Read(&chunk)) {
    fetched.step = chunk.step();
    fetched.bytes += chunk.data();
  }
  const grpc::Status ended = reader->Finish();
  if (ended.error_code() == grpc::StatusCode::NOT_FOUND) return std::optional<FetchedCheckpoint>();
  if (!ended.ok()) return online.Explain(ended);
  return std::optional(std::move(fetched));
}

StatusOr<std::string> FetchJournal(Online& online, const std::string& job_id) {
  grpc::ClientContext context;
  v1::FetchJournalRequest request;
  request.set_job_id(job_id);
  const auto reader = online.stub().FetchJournal(&context, request);
  std::string bytes;
  v1::Chunk chunk;
  while (reader->Read(&chunk)) bytes += chunk.data();
  const grpc::Status ended = reader->Finish();
  if (!ended.ok()) return online.Explain(ended);
  return bytes;
}

// The weights that the job starts from, if it names any.
StatusOr<std::optional<std::string>> FetchInitial(Online& online, const std::string& job_id) {
  v1::GetJobRequest about;
  about.set_job_id(job_id);
  HATCHERY_ASSIGN_OR_RETURN(const v1::JobState state, online.Call(&Online::Stub::GetJob, about));
  const std::string& sha256 = state.job().initial_sha256();
  if (sha256.empty()) return std::optional<std::string>();
  grpc::ClientContext context;
  v1::FetchInitialRequest request;
  request.set_job_id(job_id);
  const auto reader = online.stub().FetchInitial(&context, request);
  std::string bytes;
  v1::Chunk chunk;
  while (reader->Read(&chunk)) bytes += chunk.data();
  const grpc::Status ended = reader->Finish();
  if (!ended.ok()) return online.Explain(ended);
  if (ToHex(Sha256Of(bytes)) != sha256)
    return DataLoss("the initial weights of job " + job_id + " do not have the SHA-256 " + sha256 +
                    " that the job names; they are damaged on the coordinator or on the way");
  return std::optional(std::move(bytes));
}

// A journal only grows: another one in its place is another run's, or has gone on without the
// coordinator, and we must not lose it.
Status CheckNothingLost(const RunDir& run, const std::string& journal) {
  if (!run.HasJournal()) {
    HATCHERY_ASSIGN_OR_RETURN(const auto checkpoints, run.Checkpoints());
    if (checkpoints.empty()) return {};
    return AlreadyExists(run.path() +
                         " holds checkpoints of another run; give another directory by --out");
  }
  HATCHERY_ASSIGN_OR_RETURN(const std::string old, ReadWholeFile(PosixDisk(), run.journal_path()));
  if (journal.starts_with(old)) return {};
  return AlreadyExists(run.path() +
                       (old.starts_with(journal) ? " is further along than the job's journal"
                                                 : " holds another run's journal") +
                       "; give another directory by --out");
}

// What was fetched, into a directory that nobody else writes meanwhile.
struct Fetched {
  std::string journal;
  std::optional<FetchedCheckpoint> checkpoint;
  std::optional<std::string> initial;
};

Status Store(const Fetched& fetched, const std::string& job_id, const RunDir& run) {
  Disk& disk = PosixDisk();
  HATCHERY_RETURN_IF_ERROR(run.Create());
  HATCHERY_ASSIGN_OR_RETURN(const auto lock, disk.Lock(run.path(), "hatchery process"));
  HATCHERY_RETURN_IF_ERROR(CheckNothingLost(run, fetched.journal));
  if (fetched.initial)
    HATCHERY_RETURN_IF_ERROR(disk.WriteAtomically(run.initial_path(), *fetched.initial));
  HATCHERY_RETURN_IF_ERROR(disk.WriteAtomically(run.journal_path(), fetched.journal));
  if (!fetched.checkpoint) return {};
  const std::string name = "the checkpoint of job " + job_id;
  HATCHERY_ASSIGN_OR_RETURN(const Checkpoint checked,
                            DecodeCheckpoint(fetched.checkpoint->bytes, name));
  return run.StoreCheckpoint(checked.step, fetched.checkpoint->bytes, UINT32_MAX);
}

}  // namespace

Status FetchRun(const OnlineOptions& options, const std::string& job_id,
                const std::string& directory) {
  HATCHERY_ASSIGN_OR_RETURN(Online online, Online::Open(options));
  Fetched fetched;
  HATCHERY_ASSIGN_OR_RETURN(fetched.initial, FetchInitial(online, job_id));
  // The checkpoint first: the journal that comes after it covers its step.
  HATCHERY_ASSIGN_OR_RETURN(fetched.checkpoint, FetchNewest(online, job_id));
  HATCHERY_ASSIGN_OR_RETURN(fetched.journal, FetchJournal(online, job_id));
  HATCHERY_RETURN_IF_ERROR(Store(fetched, job_id, RunDir(PosixDisk(), directory)));
  const auto& checkpoint = fetched.checkpoint;
  if (options.json) {
    nlohmann::ordered_json line = {{"directory", directory},
                                   {"journal_bytes", fetched.journal.size()}};
    line["checkpoint_step"] = nullptr;
    if (checkpoint) line["checkpoint_step"] = checkpoint->step;
    std::printf("%s\n", line.dump().c_str());
    return {};
  }
  std::printf("%s: journal of %zu bytes, %s\n", directory.c_str(), fetched.journal.size(),
              checkpoint ? ("checkpoint of step " + std::to_string(checkpoint->step)).c_str()
                         : "no checkpoint yet");
  return {};
}

}  // namespace hatchery

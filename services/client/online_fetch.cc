// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "services/client/online.h"
#include "services/common/checkpoint.h"
#include "services/common/disk.h"
#include "services/common/run_dir.h"

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

// A journal only grows: another one in its place is another run's, which we must not lose.
Status CheckNothingLost(const RunDir& run, const std::string& journal) {
  if (!run.HasJournal()) return {};
  HATCHERY_ASSIGN_OR_RETURN(const std::string old, ReadWholeFile(PosixDisk(), run.journal_path()));
  if (journal.starts_with(old)) return {};
  return AlreadyExists(run.path() +
                       " holds another run's journal; give another directory by --out");
}

}  // namespace

Status FetchRun(const OnlineOptions& options, const std::string& job_id,
                const std::string& directory) {
  HATCHERY_ASSIGN_OR_RETURN(Online online, Online::Open(options));
  // The checkpoint first: the journal that comes after it covers its step.
  HATCHERY_ASSIGN_OR_RETURN(const std::optional<FetchedCheckpoint> checkpoint,
                            FetchNewest(online, job_id));
  HATCHERY_ASSIGN_OR_RETURN(const std::string journal, FetchJournal(online, job_id));
  const RunDir run(PosixDisk(), directory);
  HATCHERY_RETURN_IF_ERROR(CheckNothingLost(run, journal));
  HATCHERY_RETURN_IF_ERROR(run.Create());
  HATCHERY_RETURN_IF_ERROR(PosixDisk().WriteAtomically(run.journal_path(), journal));
  if (checkpoint) {
    const std::string name = "the checkpoint of job " + job_id;
    HATCHERY_ASSIGN_OR_RETURN(const Checkpoint checked, DecodeCheckpoint(checkpoint->bytes, name));
    HATCHERY_RETURN_IF_ERROR(run.StoreCheckpoint(checked.step, checkpoint->bytes, UINT32_MAX));
  }
  if (options.json) {
    nlohmann::ordered_json line = {{"directory", directory}, {"journal_bytes", journal.size()}};
    line["checkpoint_step"] = nullptr;
    if (checkpoint) line["checkpoint_step"] = checkpoint->step;
    std::printf("%s\n", line.dump().c_str());
    return {};
  }
  std::printf("%s: journal of %zu bytes, %s\n", directory.c_str(), journal.size(),
              checkpoint ? ("checkpoint of step " + std::to_string(checkpoint->step)).c_str()
                         : "no checkpoint yet");
  return {};
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/transfers.h"

#include <algorithm>
#include <memory>

#include "services/common/rpc.h"

namespace hatchery::worker {
namespace {

// Reads a stream to its end or to the first message that `visit` rejects.
template <typename Message, typename Visit>
Status ReadAll(grpc::ClientContext& context, grpc::ClientReader<Message>& reader, Visit visit) {
  Message message;
  Status seen;
  while (seen.ok() && reader.Read(&message)) seen = visit(message);
  if (!seen.ok()) context.TryCancel();
  const grpc::Status ended = reader.Finish();
  return seen.ok() ? StatusFromGrpc(ended) : seen;
}

}  // namespace

Status FetchFile(v1::WorkerService::Stub& stub, const std::string& sha256, const FileStore& store,
                 std::stop_token stop) {
  HATCHERY_ASSIGN_OR_RETURN(const std::unique_ptr<FileStore::Incoming> file, store.Receive());
  grpc::ClientContext context;
  const CancelOnStop cancel(std::move(stop), context);
  v1::FetchFileRequest request;
  request.set_sha256(sha256);
  const auto reader = stub.FetchFile(&context, request);
  HATCHERY_RETURN_IF_ERROR(ReadAll<v1::Chunk>(
      context, *reader, [&](const v1::Chunk& chunk) { return file->Append(chunk.data()); }));
  const Status stored = file->Finish(sha256);
  if (stored.ok()) return stored;
  return {stored.code(), "fetching a data file from the coordinator: " + stored.message()};
}

StatusOr<std::string> FetchCheckpoint(v1::WorkerService::Stub& stub, const std::string& job_id,
                                      std::stop_token stop) {
  grpc::ClientContext context;
  const CancelOnStop cancel(std::move(stop), context);
  v1::FetchCheckpointRequest request;
  request.set_job_id(job_id);
  request.set_step(UINT32_MAX);
  const auto reader = stub.FetchCheckpoint(&context, request);
  std::string bytes;
  HATCHERY_RETURN_IF_ERROR(
      ReadAll<v1::CheckpointChunk>(context, *reader, [&](const v1::CheckpointChunk& chunk) {
        bytes += chunk.data();
        return Status();
      }));
  return bytes;
}

Status FetchCommits(v1::WorkerService::Stub& stub, const std::string& job_id, uint32_t step,
                    std::stop_token stop, const std::function<Status(const v1::Commit&)>& visit) {
  grpc::ClientContext context;
  const CancelOnStop cancel(std::move(stop), context);
  v1::FetchCommitsRequest request;
  request.set_job_id(job_id);
  request.set_from_step(step);
  const auto reader = stub.FetchCommits(&context, request);
  return ReadAll<v1::Commit>(context, *reader, visit);
}

Status UploadCheckpoint(v1::WorkerService::Stub& stub, const std::string& job_id, uint32_t step,
                        const std::string& ticket, const std::string& bytes, std::stop_token stop) {
  grpc::ClientContext context;
  const CancelOnStop cancel(std::move(stop), context);
  v1::UploadCheckpointResponse response;
  const auto writer = stub.UploadCheckpoint(&context, &response);
  v1::UploadCheckpointRequest request;
  request.set_job_id(job_id);
  request.set_step(step);
  request.set_ticket(ticket);
  bool sent = true;
  for (size_t at = 0; sent && at < bytes.size(); at += kChunkBytes) {
    request.set_data(bytes.substr(at, kChunkBytes));
    sent = writer->Write(request);
    request.Clear();
  }
  writer->WritesDone();
  return StatusFromGrpc(writer->Finish());
}

}  // namespace hatchery::worker

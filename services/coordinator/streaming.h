// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Files on their way out, in chunks that gRPC takes.
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "hatchery/v1/coordinator.pb.h"
#include "services/common/rpc.h"
#include "services/coordinator/engine.h"
#include "services/coordinator/limits.h"
#include "services/coordinator/rpc_status.h"

namespace hatchery::coordinator {

inline std::string_view TextOf(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Calls send(piece) for pieces of at most kChunkBytes; at least once, so that an empty file arrives
// too. Stops when send says false: the caller went away.
inline void SendInChunks(std::string_view bytes, Transfer& transfer,
                         const std::function<bool(std::string_view)>& send) {
  do {
    const std::string_view piece = bytes.substr(0, kChunkBytes);
    bytes.remove_prefix(piece.size());
    if (!send(piece)) return;
    transfer.Sent(piece.size());
  } while (!bytes.empty());
}

// The newest sound checkpoint at or before a step that agrees with the journal, and is not beyond
// it: both may have been restored from a backup. The same for workers and clients.
inline grpc::Status SendCheckpoint(const Engine& engine, Bounds& bounds,
                                   grpc::ServerContext& context,
                                   const v1::FetchCheckpointRequest& request,
                                   grpc::ServerWriter<v1::CheckpointChunk>* writer) {
  const auto job = engine.Job(request.job_id());
  if (!job.ok()) return ToGrpc(job.status());
  Transfer transfer(bounds, context);
  if (!transfer.status().ok()) return ToGrpc(transfer.status());
  const RunDir run = engine.store().Run(request.job_id());
  const auto stored =
      run.NewestSound(std::min(request.step(), job->step()), [&](const Checkpoint& checkpoint) {
        return engine.CheckAgainstJournal(request.job_id(), checkpoint);
      });
  if (!stored.ok()) return ToGrpc(stored.status());
  if (!*stored)
    return ToGrpc(
        NotFound("job " + request.job_id() + " has no checkpoint at or before that step yet")
            .About("checkpoint/" + request.job_id()));
  v1::CheckpointChunk chunk;
  chunk.set_step((*stored)->checkpoint.step);
  SendInChunks((*stored)->bytes, transfer, [&](std::string_view piece) {
    chunk.set_data(piece.data(), piece.size());
    return writer->Write(chunk);
  });
  return {};
}

}  // namespace hatchery::coordinator

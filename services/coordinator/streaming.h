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

// A file's bytes [0, end), read as they go out.
inline Status SendFile(ReadFile& file, uint64_t end, Transfer& transfer,
                       const std::function<bool(std::string)>& send) {
  for (uint64_t at = 0; at < end;) {
    HATCHERY_ASSIGN_OR_RETURN(std::string piece,
                              file.Read(at, std::min<uint64_t>(kChunkBytes, end - at)));
    if (piece.empty()) return DataLoss("a file became shorter while it was sent");
    const size_t size = piece.size();
    if (!send(std::move(piece))) return {};
    transfer.Sent(size);
    at += size;
  }
  return {};
}

// The same for workers and clients, out of their own `places`.
inline grpc::Status SendCheckpoint(Engine& engine, Bounds& bounds, Slots& places,
                                   grpc::ServerContext& context,
                                   const v1::FetchCheckpointRequest& request,
                                   grpc::ServerWriter<v1::CheckpointChunk>* writer) {
  if (const auto job = engine.Job(request.job_id()); !job.ok()) return ToGrpc(job.status());
  Transfer transfer(bounds, places, context);
  if (!transfer.status().ok()) return ToGrpc(transfer.status());
  transfer.Pause();
  const auto found = engine.FindCheckpoint(request.job_id(), request.step());
  if (!found.ok()) return ToGrpc(found.status());
  if (!*found)
    return ToGrpc(
        NotFound("job " + request.job_id() + " has no checkpoint at or before that step yet")
            .About("checkpoint/" + request.job_id()));
  transfer.Go();
  ReadFile& file = *(*found)->file;
  const auto size = file.Size();
  if (!size.ok()) return ToGrpc(size.status());
  v1::CheckpointChunk chunk;
  chunk.set_step((*found)->step);
  return ToGrpc(SendFile(file, *size, transfer, [&](std::string piece) {
    chunk.set_data(std::move(piece));
    return writer->Write(chunk);
  }));
}

}  // namespace hatchery::coordinator

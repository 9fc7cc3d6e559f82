// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "services/coordinator/engine.h"
#include "services/coordinator/limits.h"

namespace hatchery::coordinator {

// What workers call. Sessions use gRPC's callbacks, so that a worker costs no thread; transfers are
// rare and take one of gRPC's.
class WorkerServiceImpl
    : public v1::WorkerService::WithCallbackMethod_Session<v1::WorkerService::Service> {
 public:
  WorkerServiceImpl(Engine& engine, Bounds& bounds) : engine_(engine), bounds_(bounds) {}

  grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>* Session(
      grpc::CallbackServerContext* context) override;
  grpc::Status FetchFile(grpc::ServerContext* context, const v1::FetchFileRequest* request,
                         grpc::ServerWriter<v1::Chunk>* writer) override;
  grpc::Status FetchCheckpoint(grpc::ServerContext* context,
                               const v1::FetchCheckpointRequest* request,
                               grpc::ServerWriter<v1::CheckpointChunk>* writer) override;
  grpc::Status FetchCommits(grpc::ServerContext* context, const v1::FetchCommitsRequest* request,
                            grpc::ServerWriter<v1::Commit>* writer) override;
  grpc::Status UploadCheckpoint(grpc::ServerContext* context,
                                grpc::ServerReader<v1::UploadCheckpointRequest>* reader,
                                v1::UploadCheckpointResponse* response) override;

 private:
  Engine& engine_;
  Bounds& bounds_;
};

}  // namespace hatchery::coordinator

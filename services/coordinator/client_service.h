// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "services/coordinator/engine.h"
#include "services/coordinator/limits.h"

namespace hatchery::coordinator {

// What clients call.
class ClientServiceImpl : public v1::ClientService::Service {
 public:
  ClientServiceImpl(Engine& engine, Bounds& bounds) : engine_(engine), bounds_(bounds) {}

  grpc::Status About(grpc::ServerContext*, const v1::AboutRequest*,
                     v1::AboutResponse* response) override;
  grpc::Status SubmitJob(grpc::ServerContext*, const v1::SubmitJobRequest* request,
                         v1::SubmitJobResponse* response) override;
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest*,
                        v1::ListJobsResponse* response) override;
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                      v1::JobState* response) override;
  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobUpdate>* writer) override;
  grpc::Status PauseJob(grpc::ServerContext*, const v1::ChangeJobRequest* request,
                        v1::JobState* response) override;
  grpc::Status ResumeJob(grpc::ServerContext*, const v1::ChangeJobRequest* request,
                         v1::JobState* response) override;
  grpc::Status CancelJob(grpc::ServerContext*, const v1::ChangeJobRequest* request,
                         v1::JobState* response) override;
  grpc::Status ListWorkers(grpc::ServerContext*, const v1::ListWorkersRequest* request,
                           v1::ListWorkersResponse* response) override;
  grpc::Status ListEvents(grpc::ServerContext*, const v1::ListEventsRequest* request,
                          v1::ListEventsResponse* response) override;
  grpc::Status MissingFiles(grpc::ServerContext*, const v1::MissingFilesRequest* request,
                            v1::MissingFilesResponse* response) override;
  grpc::Status UploadFile(grpc::ServerContext*, grpc::ServerReader<v1::UploadFileRequest>* reader,
                          v1::UploadFileResponse*) override;
  grpc::Status FetchJournal(grpc::ServerContext*, const v1::FetchJournalRequest* request,
                            grpc::ServerWriter<v1::Chunk>* writer) override;
  grpc::Status FetchCheckpoint(grpc::ServerContext*, const v1::FetchCheckpointRequest* request,
                               grpc::ServerWriter<v1::CheckpointChunk>* writer) override;
  grpc::Status FetchInitial(grpc::ServerContext*, const v1::FetchInitialRequest* request,
                            grpc::ServerWriter<v1::Chunk>* writer) override;

 private:
  Engine& engine_;
  Bounds& bounds_;
};

}  // namespace hatchery::coordinator

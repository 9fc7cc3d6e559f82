// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The worker's calls beside its stream. All end with kCancelled soon after `stop` is requested.
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "kernels/status.h"
#include "services/common/dataset.h"

namespace hatchery::worker {

// Stores the coordinator's file in `store`, its hash checked.
Status FetchFile(v1::WorkerService::Stub& stub, const std::string& sha256, const FileStore& store,
                 std::stop_token stop);

// The newest checkpoint's bytes; kNotFound if the job has none yet.
StatusOr<std::string> FetchCheckpoint(v1::WorkerService::Stub& stub, const std::string& job_id,
                                      std::stop_token stop);

// Shows the durable commits from `step` on to `visit`, in order, until one is not OK.
Status FetchCommits(v1::WorkerService::Stub& stub, const std::string& job_id, uint32_t step,
                    std::stop_token stop, const std::function<Status(const v1::Commit&)>& visit);

// `ticket` came with the request for it.
Status UploadCheckpoint(v1::WorkerService::Stub& stub, const std::string& job_id, uint32_t step,
                        const std::string& ticket, const std::string& bytes, std::stop_token stop);

}  // namespace hatchery::worker

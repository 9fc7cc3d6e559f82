// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "kernels/replica.h"
#include "kernels/status.h"
#include "services/common/backend.h"
#include "services/common/dataset.h"

namespace hatchery::worker {

// A job as a worker holds it. `digest` is the replica's, kept up to date by whoever changes it.
struct LoadedJob {
  std::string id;
  v1::Job job;
  Dataset data;  // outlives the replica, which reads it
  std::unique_ptr<Replica> replica;
  core::Digest digest;
};

// Brings jobs to this machine: data by hash from the user's files, else the cache, else the
// coordinator; weights from the newest checkpoint, else the job's initial weights; and the commits
// since.
class Loader {
 public:
  // `files` are opened and hashed here. `stub` must outlive this.
  static StatusOr<std::unique_ptr<Loader>> Create(v1::WorkerService::Stub& stub,
                                                  const std::vector<std::string>& files,
                                                  const std::string& cache_directory,
                                                  ReplicaFactory create);

  // Data and newest checkpoint; the commits since are CatchUp's.
  StatusOr<LoadedJob> Load(const std::string& job_id, const v1::Job& job, std::stop_token stop);

  // Applies the durable commits from the replica's step on. kDataLoss if one was computed on
  // another replica. The commits before an error stay applied.
  Status CatchUp(LoadedJob& loaded, std::stop_token stop);

 private:
  using File = std::shared_ptr<const MappedFile>;
  Loader(v1::WorkerService::Stub& stub, const std::string& cache_directory, ReplicaFactory create);
  StatusOr<File> Find(const std::string& sha256, std::stop_token stop);
  StatusOr<Dataset> FindData(const v1::Job& job, std::stop_token stop);
  // Replaces the replica's fresh weights by the newest checkpoint or the job's own start.
  Status RestoreNewest(LoadedJob& loaded, std::stop_token stop);
  Status RestoreInitial(LoadedJob& loaded, std::stop_token stop);

  v1::WorkerService::Stub& stub_;
  std::map<std::string, File> files_;  // the user's, by SHA-256
  FileStore cache_;
  ReplicaFactory create_;
};

// Checks a commit of the coordinator and applies it.
Status ApplyChecked(const v1::Commit& proto, LoadedJob& loaded);

}  // namespace hatchery::worker

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/loader.h"

#include <utility>

#include "services/common/checkpoint.h"
#include "services/common/convert.h"
#include "services/common/disk.h"
#include "services/common/job.h"
#include "services/worker/transfers.h"

namespace hatchery::worker {

Loader::Loader(v1::WorkerService::Stub& stub, const std::string& cache_directory,
               ReplicaFactory create)
    : stub_(stub), cache_(cache_directory), create_(std::move(create)) {}

StatusOr<std::unique_ptr<Loader>> Loader::Create(v1::WorkerService::Stub& stub,
                                                 const std::vector<std::string>& files,
                                                 const std::string& cache_directory,
                                                 ReplicaFactory create) {
  HATCHERY_RETURN_IF_ERROR(PosixDisk().CreateDirectory(cache_directory));
  std::unique_ptr<Loader> loader(new Loader(stub, cache_directory, std::move(create)));
  for (const std::string& path : files) {
    HATCHERY_ASSIGN_OR_RETURN(File file, MappedFile::Open(path));
    loader->files_[file->Sha256Hex()] = file;
  }
  return loader;
}

StatusOr<LoadedJob> Loader::Load(const std::string& job_id, const v1::Job& job,
                                 std::stop_token stop) {
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  HATCHERY_ASSIGN_OR_RETURN(Dataset data, FindData(job, stop));
  HATCHERY_ASSIGN_OR_RETURN(std::unique_ptr<Replica> replica, create_(spec, data.view()));
  LoadedJob loaded{job_id, job, std::move(data), std::move(replica), {}};
  HATCHERY_RETURN_IF_ERROR(RestoreNewest(loaded, stop));
  HATCHERY_ASSIGN_OR_RETURN(loaded.digest, loaded.replica->DigestOfAll());
  return loaded;
}

Status Loader::CatchUp(LoadedJob& loaded, std::stop_token stop) {
  return FetchCommits(stub_, loaded.id, loaded.replica->step(), stop, [&](const v1::Commit& commit) {
    return stop.stop_requested() ? Cancelled("stopped") : ApplyChecked(commit, loaded);
  });
}

StatusOr<Loader::File> Loader::Find(const std::string& sha256, std::stop_token stop) {
  if (const auto at = files_.find(sha256); at != files_.end()) return at->second;
  StatusOr<File> cached = cache_.Open(sha256);
  if (cached.ok()) return cached;
  // A cached file that has rotted is replaced.
  if (const StatusCode code = cached.status().code();
      code != StatusCode::kNotFound && code != StatusCode::kDataLoss) {
    return cached;
  }
  HATCHERY_RETURN_IF_ERROR(FetchFile(stub_, sha256, cache_, std::move(stop)));
  return cache_.Open(sha256);
}

StatusOr<Dataset> Loader::FindData(const v1::Job& job, std::stop_token stop) {
  HATCHERY_ASSIGN_OR_RETURN(const File train, Find(job.train().sha256(), stop));
  File held_out;
  if (HasHeldOut(job)) {
    HATCHERY_ASSIGN_OR_RETURN(held_out, Find(job.held_out().sha256(), stop));
  }
  return Dataset::Open(job, train, held_out);
}

Status Loader::RestoreNewest(LoadedJob& loaded, std::stop_token stop) {
  const StatusOr<std::string> bytes = FetchCheckpoint(stub_, loaded.id, stop);
  if (!bytes.ok()) {
    if (bytes.status().code() != StatusCode::kNotFound) return bytes.status();
    return RestoreInitial(loaded, std::move(stop));
  }
  HATCHERY_ASSIGN_OR_RETURN(const Checkpoint checkpoint,
                            DecodeCheckpoint(*bytes, "the newest checkpoint of job " + loaded.id));
  HATCHERY_RETURN_IF_ERROR(CheckSameRun(loaded.job, checkpoint.job));
  return loaded.replica->Restore(checkpoint.step, checkpoint.weights);
}

Status Loader::RestoreInitial(LoadedJob& loaded, std::stop_token stop) {
  const std::string& sha256 = loaded.job.initial_sha256();
  if (sha256.empty()) return {};
  HATCHERY_ASSIGN_OR_RETURN(const File file, Find(sha256, std::move(stop)));
  const auto bytes = file->bytes();
  HATCHERY_ASSIGN_OR_RETURN(
      const Checkpoint checkpoint,
      DecodeCheckpoint({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file->path()));
  if (FormatDigest(checkpoint.digest) != loaded.job.initial_digest()) {
    return DataLoss(file->path() + ": digest " + FormatDigest(checkpoint.digest) +
                    " is not the job's initial_digest " + loaded.job.initial_digest());
  }
  return loaded.replica->Restore(0, checkpoint.weights);
}

Status ApplyChecked(const v1::Commit& proto, LoadedJob& loaded) {
  HATCHERY_ASSIGN_OR_RETURN(const WireCommit wire, CommitFromProto(proto));
  HATCHERY_RETURN_IF_ERROR(
      CheckFitness(wire.commit.encoding, wire.commit.fitness, loaded.replica->spec().pairs()));
  // Taken anew, lest the commit be applied to weights that have changed in memory.
  HATCHERY_ASSIGN_OR_RETURN(loaded.digest, loaded.replica->DigestOfAll());
  if (!(wire.digest_before == loaded.digest)) {
    return DataLoss("commit " + std::to_string(wire.commit.step) + " was computed on digest " +
                    FormatDigest(wire.digest_before) + ", this replica has " +
                    FormatDigest(loaded.digest));
  }
  HATCHERY_RETURN_IF_ERROR(loaded.replica->Apply(wire.commit));
  HATCHERY_ASSIGN_OR_RETURN(loaded.digest, loaded.replica->DigestOfAll());
  return {};
}

}  // namespace hatchery::worker

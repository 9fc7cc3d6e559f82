// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "services/client/command.h"
#include "services/client/job_file.h"
#include "services/client/model_file.h"
#include "services/client/online.h"
#include "services/common/rpc.h"

namespace hatchery {
namespace {

struct Options : OnlineOptions {
  std::string job, data, init_from;
  std::vector<std::string> sets;
  bool watch = false;
};

// The files that the job names, by SHA-256.
using Files = std::map<std::string, std::shared_ptr<const MappedFile>>;

Status Upload(Online& online, const std::string& sha256, const MappedFile& file) {
  grpc::ClientContext context;
  v1::UploadFileResponse response;
  const auto writer = online.stub().UploadFile(&context, &response);
  v1::UploadFileRequest request;
  request.set_sha256(sha256);
  request.set_bytes(file.bytes().size());
  std::span<const uint8_t> rest = file.bytes();
  bool sent = true;
  do {
    const auto chunk = rest.first(std::min(rest.size(), kChunkBytes));
    request.set_data(chunk.data(), chunk.size());
    sent = writer->Write(request);
    request.Clear();
    rest = rest.subspan(chunk.size());
  } while (sent && !rest.empty());
  writer->WritesDone();
  const grpc::Status ended = writer->Finish();
  if (ended.ok()) return {};
  const Status error = online.Explain(ended);
  return {error.code(), "uploading " + file.path() + ": " + error.message()};
}

Status UploadMissing(Online& online, const Files& files) {
  v1::MissingFilesRequest request;
  for (const auto& [sha256, file] : files) request.add_sha256(sha256);
  HATCHERY_ASSIGN_OR_RETURN(const v1::MissingFilesResponse missing,
                            online.Call(&Online::Stub::MissingFiles, request));
  for (const std::string& sha256 : missing.sha256()) {
    const auto file = files.find(sha256);
    if (file != files.end()) HATCHERY_RETURN_IF_ERROR(Upload(online, sha256, *file->second));
  }
  return {};
}

// Makes the job start from the model that the user named.
Status StartFrom(const std::string& directory_or_file, v1::Job& job, Files& files) {
  HATCHERY_ASSIGN_OR_RETURN(const ModelFile model, ReadModel(directory_or_file));
  HATCHERY_RETURN_IF_ERROR(CheckFits(model, job));
  HATCHERY_ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file,
                            MappedFile::Open(model.path));
  job.set_initial_digest(FormatDigest(model.checkpoint.digest));
  job.set_initial_sha256(file->Sha256Hex());
  files[job.initial_sha256()] = file;
  return {};
}

Status Submit(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(JobFile file, ReadJobFile(options.job, options.sets));
  HATCHERY_ASSIGN_OR_RETURN(PreparedJob prepared, PrepareJob(std::move(file), options.data));
  Files files;
  files[prepared.job.train().sha256()] = prepared.train;
  if (prepared.held_out) files[prepared.job.held_out().sha256()] = prepared.held_out;
  if (!options.init_from.empty()) {
    HATCHERY_RETURN_IF_ERROR(StartFrom(options.init_from, prepared.job, files));
  }
  std::string job_id;
  {
    HATCHERY_ASSIGN_OR_RETURN(Online online, Online::Open(options));
    HATCHERY_RETURN_IF_ERROR(UploadMissing(online, files));
    v1::SubmitJobRequest request;
    *request.mutable_job() = prepared.job;
    HATCHERY_ASSIGN_OR_RETURN(const v1::SubmitJobResponse response,
                              online.Call(&Online::Stub::SubmitJob, request));
    job_id = response.job_id();
  }
  std::printf(options.json ? "{\"job_id\":\"%s\"}\n" : "%s\n", job_id.c_str());
  std::fflush(stdout);
  return options.watch ? WatchJob(options, job_id, 0) : Status();
}

}  // namespace

void AddSubmitCommand(CLI::App& app) {
  auto* command = app.add_subcommand("submit", "Give a job to a coordinator; prints the job's id");
  auto options = std::make_shared<Options>();
  command->add_option("JOB", options->job, "The job file (YAML)")->required();
  command->add_option("--data", options->data, "The data file, in place of the job's data.file");
  AddSetOption(*command, options->sets);
  command->add_option("--init-from", options->init_from,
                      "Start from this run's or checkpoint's weights");
  command->add_flag("--watch", options->watch, "Follow the job until it ends");
  AddOnlineOptions(*command, *options);
  SetAction(command, [options] { return Submit(*options); });
}

}  // namespace hatchery

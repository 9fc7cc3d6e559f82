// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/client_service.h"

#include <chrono>
#include <filesystem>
#include <new>
#include <set>

#include "kernels/core/version.h"
#include "kernels/model.h"
#include "services/common/checkpoint.h"
#include "services/common/job.h"
#include "services/common/memory.h"
#include "services/common/protocol.h"
#include "services/coordinator/streaming.h"

namespace hatchery::coordinator {
namespace {

constexpr int kMaxFilesAsked = 10'000;

// `field` is the split's in the job.
Status CheckStored(const FileStore& files, const v1::DataSplit& split, const char* field,
                   const char* name) {
  if (split.begin() == split.end()) return {};
  if (!files.Has(split.sha256()))
    return FailedPrecondition(std::string(name) + " file " + split.sha256() +
                              " is not stored here; upload it first")
        .About("file/" + split.sha256());
  HATCHERY_ASSIGN_OR_RETURN(const auto file, files.Open(split.sha256()));
  if (file->bytes().size() == split.file_bytes()) return {};
  return InvalidArgument(std::string(name) + " file has " + std::to_string(file->bytes().size()) +
                         " bytes, not " + std::to_string(split.file_bytes()))
      .About(std::string(field) + ".file_bytes");
}

// The initial weights are read into memory.
Status CheckInitialFile(const FileStore& files, const v1::Job& job) {
  if (job.initial_sha256().empty()) return {};
  HATCHERY_ASSIGN_OR_RETURN(const auto file, files.Open(job.initial_sha256()));
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  const uint64_t most = MostCheckpointBytes(Model(spec));
  if (file->bytes().size() <= most) return {};
  return InvalidArgument("the initial weights have " + std::to_string(file->bytes().size()) +
                         " bytes; a checkpoint of this model has at most " + std::to_string(most))
      .About("initial_sha256");
}

// Making the first weights takes a replica of bytes, and proving them another.
StatusOr<std::string> SubmitWithinMemory(Engine& engine, const v1::Job& job, uint32_t most) {
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  HATCHERY_RETURN_IF_ERROR(
      CheckMemory("a job of this model on the coordinator", 2 * Model(spec).bytes()));
  try {
    return engine.Submit(job, most);
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("the coordinator has too little memory for a job of this model");
  }
}

// Fields of a job, as the request that holds it names them.
Status InRequest(Status status) {
  if (status.code() != StatusCode::kInvalidArgument) return status;
  const std::string field = status.subject();
  if (field.empty() || field == "job") return status;
  return std::move(status).About("job." + field);
}

// Data files may come from anyone who may submit; what they leave is for the journals.
Status CheckRoom(const std::string& directory, const Limits& limits) {
  std::error_code error;
  const auto space = std::filesystem::space(directory, error);
  if (error || space.available >= limits.kept_free_bytes) return {};
  return ResourceExhausted("the coordinator's disk has " + std::to_string(space.available) +
                           " bytes left, and keeps " + std::to_string(limits.kept_free_bytes) +
                           " for its journals (--keep-free-bytes); free some space on it")
      .About("--keep-free-bytes");
}

// An error in a field of a request.
grpc::Status Refuse(const std::string& field, const std::string& why) {
  return ToGrpc(InvalidArgument(why).About(field));
}

bool IsOver(v1::JobState::State state) {
  return state == v1::JobState::FINISHED || state == v1::JobState::CANCELLED;
}

// Where the last record ends that was announced: what follows may not be durable yet, and a power
// cut would take back what a client was given.
StatusOr<uint64_t> EndOfAnnounced(const std::string& path, const v1::JobState& job,
                                  Transfer& transfer) {
  HATCHERY_ASSIGN_OR_RETURN(const auto journal, JournalReader::Open(PosixDisk(), path));
  const bool closed = !job.latest().digest().empty();
  uint64_t end = journal->good_end();
  JournalRecord record;
  while (journal->next_step() < job.step() || (closed && !journal->closed())) {
    HATCHERY_ASSIGN_OR_RETURN(const auto outcome, journal->Next(record));
    if (outcome != JournalReader::Outcome::kRecord) break;
    end = journal->good_end();
    transfer.Moved(kChunkBytes);  // our own work, as long as it may take
  }
  return end;
}

grpc::Status Answer(StatusOr<v1::JobState> state, v1::JobState* response) {
  if (!state.ok()) return ToGrpc(state.status());
  *response = std::move(*state);
  return {};
}

}  // namespace

grpc::Status ClientServiceImpl::About(grpc::ServerContext*, const v1::AboutRequest*,
                                      v1::AboutResponse* response) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  response->set_software_version(HATCHERY_VERSION);
  response->set_protocol_version(kProtocolVersion);
  response->set_contract_version(core::kContractVersion);
  response->set_unix_milliseconds(
      std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  return {};
}

grpc::Status ClientServiceImpl::SubmitJob(grpc::ServerContext* context,
                                          const v1::SubmitJobRequest* request,
                                          v1::SubmitJobResponse* response) {
  // Its files are hashed.
  Transfer transfer(bounds_, bounds_.client_transfers, *context);
  if (!transfer.status().ok()) return ToGrpc(transfer.status());
  transfer.Pause();
  const v1::Job& job = request->job();
  Status status = ValidateJob(job);
  if (status.ok()) status = CheckSize(job, bounds_.limits);
  const FileStore& files = engine_.store().files();
  if (status.ok()) status = CheckStored(files, job.train(), "train", "the training");
  if (status.ok() && (job.held_out().sha256() != job.train().sha256() ||
                      job.held_out().file_bytes() != job.train().file_bytes()))
    status = CheckStored(files, job.held_out(), "held_out", "the held-out");
  if (status.ok()) status = CheckInitialFile(files, job);
  // Initial weights are copied into the job's directory.
  if (status.ok() && !job.initial_sha256().empty())
    status = CheckRoom(engine_.store().directory(), bounds_.limits);
  if (!status.ok()) return ToGrpc(InRequest(std::move(status)));
  const auto id = SubmitWithinMemory(engine_, job, bounds_.limits.unfinished_jobs);
  if (!id.ok()) return ToGrpc(id.status());
  response->set_job_id(*id);
  return {};
}

grpc::Status ClientServiceImpl::ListJobs(grpc::ServerContext*, const v1::ListJobsRequest*,
                                         v1::ListJobsResponse* response) {
  for (v1::JobState& job : engine_.Jobs()) *response->add_jobs() = std::move(job);
  return {};
}

grpc::Status ClientServiceImpl::GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                                       v1::JobState* response) {
  return Answer(engine_.Job(request->job_id()), response);
}

grpc::Status ClientServiceImpl::WatchJob(grpc::ServerContext* context,
                                         const v1::WatchJobRequest* request,
                                         grpc::ServerWriter<v1::JobUpdate>* writer) {
  const auto job = engine_.Job(request->job_id());
  if (!job.ok()) return ToGrpc(job.status());
  const auto slot = bounds_.watchers.Take();
  if (!slot.ok()) return ToGrpc(slot.status());
  Watchdog::Watch watch(bounds_.watchdog, *context);
  // False if the client is gone, or has not read for so long that it is as good as gone.
  const auto write = [&](const v1::JobUpdate& update) {
    watch.Arm(bounds_.patience());
    const bool written = writer->Write(update);
    watch.Disarm();
    return written;
  };
  size_t seen = request->from_step();
  v1::JobState::State state = job->state();
  if (seen >= job->step() && (!write(job->latest()) || IsOver(state))) return {};
  while (!context->IsCancelled()) {
    const auto news = engine_.WaitForNews(request->job_id(), seen, state);
    if (!news.ok()) return ToGrpc(news.status());
    for (v1::JobUpdate update : news->updates) {
      update.set_workers(news->state.workers());
      if (!write(update)) return {};
    }
    seen += news->updates.size();
    if (news->more) continue;
    if (news->state.state() == state && !IsOver(state)) continue;
    state = news->state.state();
    if (!write(news->state.latest())) return {};
    if (IsOver(state)) return {};
  }
  return {};
}

grpc::Status ClientServiceImpl::PauseJob(grpc::ServerContext*, const v1::ChangeJobRequest* request,
                                         v1::JobState* response) {
  return Answer(engine_.Pause(request->job_id()), response);
}

grpc::Status ClientServiceImpl::ResumeJob(grpc::ServerContext*, const v1::ChangeJobRequest* request,
                                          v1::JobState* response) {
  return Answer(engine_.Resume(request->job_id()), response);
}

grpc::Status ClientServiceImpl::CancelJob(grpc::ServerContext*, const v1::ChangeJobRequest* request,
                                          v1::JobState* response) {
  return Answer(engine_.Cancel(request->job_id()), response);
}

grpc::Status ClientServiceImpl::ListWorkers(grpc::ServerContext*,
                                            const v1::ListWorkersRequest* request,
                                            v1::ListWorkersResponse* response) {
  auto workers = engine_.Workers(request->connected_only());
  if (!workers.ok()) return ToGrpc(workers.status());
  for (v1::WorkerState& worker : *workers) *response->add_workers() = std::move(worker);
  return {};
}

grpc::Status ClientServiceImpl::ListEvents(grpc::ServerContext*,
                                           const v1::ListEventsRequest* request,
                                           v1::ListEventsResponse* response) {
  auto events = engine_.Events(request->job_id());
  if (!events.ok()) return ToGrpc(events.status());
  for (v1::Event& event : *events) *response->add_events() = std::move(event);
  return {};
}

grpc::Status ClientServiceImpl::MissingFiles(grpc::ServerContext* context,
                                             const v1::MissingFilesRequest* request,
                                             v1::MissingFilesResponse* response) {
  if (request->sha256_size() > kMaxFilesAsked)
    return Refuse("sha256",
                  "more than " + std::to_string(kMaxFilesAsked) + " files in one question");
  const std::set<std::string> asked(request->sha256().begin(), request->sha256().end());
  // Opening a file hashes it, so that one that has rotted here is asked for again, and replaced.
  // That is as much work as sending it.
  Transfer transfer(bounds_, bounds_.client_transfers, *context);
  if (!transfer.status().ok()) return ToGrpc(transfer.status());
  transfer.Pause();
  for (const std::string& sha256 : asked) {
    if (context->IsCancelled()) return {grpc::StatusCode::CANCELLED, "the client went away"};
    if (!IsSha256Hex(sha256))
      return Refuse("sha256", "a file is named by 64 lower-case hex digits");
    if (!engine_.store().files().Open(sha256).ok()) response->add_sha256(sha256);
  }
  return {};
}

grpc::Status ClientServiceImpl::UploadFile(grpc::ServerContext* context,
                                           grpc::ServerReader<v1::UploadFileRequest>* reader,
                                           v1::UploadFileResponse*) {
  Transfer transfer(bounds_, bounds_.client_transfers, *context);
  if (!transfer.status().ok()) return ToGrpc(transfer.status());
  v1::UploadFileRequest part;
  if (!reader->Read(&part)) return Refuse("sha256", "an empty upload");
  const std::string sha256 = part.sha256();
  const uint64_t announced = part.bytes();
  if (!IsSha256Hex(sha256)) return Refuse("sha256", "a file is named by 64 lower-case hex digits");
  if (announced > bounds_.limits.upload_bytes)
    return Refuse("bytes",
                  "a file of " + std::to_string(announced) + " bytes; this coordinator takes " +
                      std::to_string(bounds_.limits.upload_bytes) + " (--max-upload-bytes)");
  auto incoming = engine_.store().files().Receive();
  if (!incoming.ok()) return ToGrpc(incoming.status());
  do {
    if (const Status room = CheckRoom(engine_.store().directory(), bounds_.limits); !room.ok())
      return ToGrpc(room);
    if ((*incoming)->bytes() + part.data().size() > announced)
      return Refuse("data", "more bytes than the announced " + std::to_string(announced));
    if (const Status status = (*incoming)->Append(part.data()); !status.ok()) return ToGrpc(status);
    transfer.Received(part.data().size());
  } while (reader->Read(&part));
  transfer.Pause();
  return ToGrpc((*incoming)->Finish(sha256));
}

grpc::Status ClientServiceImpl::FetchJournal(grpc::ServerContext* context,
                                             const v1::FetchJournalRequest* request,
                                             grpc::ServerWriter<v1::Chunk>* writer) {
  const auto job = engine_.Job(request->job_id());
  if (!job.ok()) return ToGrpc(job.status());
  Transfer transfer(bounds_, bounds_.client_transfers, *context);
  if (!transfer.status().ok()) return ToGrpc(transfer.status());
  const std::string path = engine_.store().Run(request->job_id()).journal_path();
  const auto end = EndOfAnnounced(path, *job, transfer);
  if (!end.ok()) return ToGrpc(end.status());
  const auto file = PosixDisk().OpenRead(path);
  if (!file.ok()) return ToGrpc(file.status());
  v1::Chunk chunk;
  return ToGrpc(SendFile(**file, *end, transfer, [&](std::string piece) {
    chunk.set_data(std::move(piece));
    return writer->Write(chunk);
  }));
}

grpc::Status ClientServiceImpl::FetchCheckpoint(grpc::ServerContext* context,
                                                const v1::FetchCheckpointRequest* request,
                                                grpc::ServerWriter<v1::CheckpointChunk>* writer) {
  return SendCheckpoint(engine_, bounds_, bounds_.client_transfers, *context, *request, writer);
}

grpc::Status ClientServiceImpl::FetchInitial(grpc::ServerContext* context,
                                             const v1::FetchInitialRequest* request,
                                             grpc::ServerWriter<v1::Chunk>* writer) {
  const auto job = engine_.Job(request->job_id());
  if (!job.ok()) return ToGrpc(job.status());
  if (job->job().initial_sha256().empty())
    return ToGrpc(
        NotFound("job " + request->job_id() + " starts from its seed's weights, not from a file")
            .About("initial weights/" + request->job_id()));
  Transfer transfer(bounds_, bounds_.client_transfers, *context);
  if (!transfer.status().ok()) return ToGrpc(transfer.status());
  const auto file = PosixDisk().OpenRead(engine_.store().Run(request->job_id()).initial_path());
  if (!file.ok()) return ToGrpc(file.status());
  const auto size = (*file)->Size();
  if (!size.ok()) return ToGrpc(size.status());
  v1::Chunk chunk;
  return ToGrpc(SendFile(**file, *size, transfer, [&](std::string piece) {
    chunk.set_data(std::move(piece));
    return writer->Write(chunk);
  }));
}

}  // namespace hatchery::coordinator

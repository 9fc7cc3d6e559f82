// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/worker_service.h"

#include <deque>
#include <mutex>

#include "kernels/model.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/coordinator/streaming.h"

namespace hatchery::coordinator {
namespace {

// A worker that reads nothing while this much waits for it is too slow to be of use.
constexpr size_t kMaxQueuedBytes = size_t{256} << 20;
// What a checkpoint file may have beyond its weights: its header.
constexpr uint64_t kCheckpointSlack = 1 << 20;

// One worker's session. gRPC calls the On... methods, one at a time each; Send and Close come from
// the engine. Deletes itself when the call is over.
class SessionReactor : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>,
                       public WorkerStream {
 public:
  explicit SessionReactor(Engine& engine) : engine_(engine) {
    worker_ = engine_.Connect(this);
    StartRead(&incoming_);
  }

  void Send(const v1::CoordinatorMessage& message) override {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    queued_bytes_ += message.ByteSizeLong();
    queue_.push_back(message);
    if (queued_bytes_ > kMaxQueuedBytes) {
      queue_.resize(writing_ ? 1 : 0);
      CloseLocked(ResourceExhausted(
          "the worker reads too slowly: " + std::to_string(queued_bytes_) + " bytes wait for it"));
    } else if (!writing_) {
      WriteFront();
    }
  }

  void Close(const Status& reason) override {
    std::lock_guard lock(mutex_);
    CloseLocked(reason);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      engine_.Disconnected(worker_, "the stream ended");
      return Close({});
    }
    engine_.Received(worker_, incoming_);
    StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    queued_bytes_ -= std::min(queued_bytes_, queue_.front().ByteSizeLong());
    queue_.pop_front();
    if (!ok) queue_.clear();
    if (!queue_.empty())
      WriteFront();
    else if (closing_)
      FinishOnce();
  }

  void OnDone() override {
    engine_.Disconnected(worker_, "the stream was cut");
    delete this;
  }

 private:
  void CloseLocked(const Status& reason) {
    if (closing_) return;
    closing_ = true;
    reason_ = reason;
    if (!writing_) FinishOnce();
  }

  void WriteFront() {
    writing_ = true;
    StartWrite(&queue_.front());
  }

  void FinishOnce() {
    if (finished_) return;
    finished_ = true;
    Finish(ToGrpc(reason_));
  }

  Engine& engine_;
  std::string worker_;
  v1::WorkerMessage incoming_;

  std::mutex mutex_;
  std::deque<v1::CoordinatorMessage> queue_;  // the front is being written if writing_
  size_t queued_bytes_ = 0;
  bool writing_ = false, closing_ = false, finished_ = false;
  Status reason_;
};

}  // namespace

grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>* WorkerServiceImpl::Session(
    grpc::CallbackServerContext*) {
  return new SessionReactor(engine_);
}

grpc::Status WorkerServiceImpl::FetchFile(grpc::ServerContext*, const v1::FetchFileRequest* request,
                                          grpc::ServerWriter<v1::Chunk>* writer) {
  if (!IsSha256Hex(request->sha256()))
    return {grpc::StatusCode::INVALID_ARGUMENT, "a file is named by 64 lower-case hex digits"};
  const auto file = engine_.store().files().Open(request->sha256());
  if (!file.ok()) return ToGrpc(file.status());
  const std::string_view bytes(reinterpret_cast<const char*>((*file)->bytes().data()),
                               (*file)->bytes().size());
  v1::Chunk chunk;
  SendInChunks(bytes, [&](std::string_view piece) {
    chunk.set_data(piece.data(), piece.size());
    return writer->Write(chunk);
  });
  return {};
}

grpc::Status WorkerServiceImpl::FetchCheckpoint(grpc::ServerContext*,
                                                const v1::FetchCheckpointRequest* request,
                                                grpc::ServerWriter<v1::CheckpointChunk>* writer) {
  return SendCheckpoint(engine_, *request, writer);
}

grpc::Status WorkerServiceImpl::FetchCommits(grpc::ServerContext*,
                                             const v1::FetchCommitsRequest* request,
                                             grpc::ServerWriter<v1::Commit>* writer) {
  const auto job = engine_.Job(request->job_id());
  if (!job.ok()) return ToGrpc(job.status());
  // The journal may already hold one commit more, which is not announced yet.
  const uint32_t end = job->step();
  if (request->from_step() >= end) return {};
  const auto journal =
      JournalReader::Open(PosixDisk(), engine_.store().Run(request->job_id()).journal_path());
  if (!journal.ok()) return ToGrpc(journal.status());
  JournalRecord record;
  while ((*journal)->next_step() < end) {
    const auto outcome = (*journal)->Next(record);
    if (!outcome.ok()) return ToGrpc(outcome.status());
    if (*outcome != JournalReader::Outcome::kRecord)
      return {grpc::StatusCode::DATA_LOSS, "the journal of job " + request->job_id() +
                                               " ends before step " + std::to_string(end)};
    const auto* commit = std::get_if<CommitRecord>(&record);
    if (commit == nullptr || commit->commit.step < request->from_step()) continue;
    if (!writer->Write(CommitToProto(commit->commit, commit->digest_before))) return {};
  }
  return {};
}

grpc::Status WorkerServiceImpl::UploadCheckpoint(
    grpc::ServerContext* context, grpc::ServerReader<v1::UploadCheckpointRequest>* reader,
    v1::UploadCheckpointResponse*) {
  v1::UploadCheckpointRequest part;
  if (!reader->Read(&part)) return {grpc::StatusCode::INVALID_ARGUMENT, "an empty upload"};
  const std::string job_id = part.job_id();
  const uint32_t step = part.step();
  const auto job = engine_.Job(job_id);
  if (!job.ok()) return ToGrpc(job.status());
  const auto spec = SpecFromJob(job->job());
  if (!spec.ok()) return ToGrpc(spec.status());
  const Model model(*spec);
  const uint64_t most = model.bytes() + kCheckpointSlack + 256 * model.tensors().size();
  std::string bytes;
  do {
    if (bytes.size() + part.data().size() > most)
      return {grpc::StatusCode::INVALID_ARGUMENT,
              "more bytes than a checkpoint of job " + job_id + " has"};
    bytes += part.data();
  } while (reader->Read(&part));
  return ToGrpc(
      engine_.OfferCheckpoint(job_id, step, bytes, [context] { return context->IsCancelled(); }));
}

}  // namespace hatchery::coordinator

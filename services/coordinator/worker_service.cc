// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/worker_service.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <utility>

#include "kernels/model.h"
#include "services/common/checkpoint.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/replay.h"
#include "services/coordinator/streaming.h"

namespace hatchery::coordinator {
namespace {

// Messages that may wait for a worker that reads slowly: a step's commit and some leases. The
// largest commit (16,777,216 members) has 1.7 MB or, of the other encoding, 8.4 MB.
constexpr size_t kQueuedBytes = size_t{8} << 20, kQueuedLargest = 4;
// The queues of all workers together; beyond it, whoever has this much waiting goes.
constexpr size_t kAllQueuedBytes = size_t{512} << 20, kFairQueuedBytes = size_t{1} << 20;
constexpr char kNotRead[] = "the worker reads nothing; cut off after --stalled-seconds";
constexpr std::chrono::seconds kFarewell{10};  // to take the reason why a session ends

// Bytes that wait for workers.
std::atomic<size_t> all_queued = 0;

// One worker's session. gRPC calls the On... methods, one at a time each; Send and Close come from
// the engine. Deletes itself when the call is over.
class SessionReactor : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>,
                       public WorkerStream {
 public:
  SessionReactor(Engine& engine, Bounds& bounds, Slots::Slot slot,
                 grpc::CallbackServerContext& context)
      : engine_(engine),
        patience_(bounds.patience()),
        traffic_(bounds.traffic),
        slot_(std::move(slot)),
        context_(context),
        watch_(bounds.watchdog, [this] {
          std::lock_guard lock(mutex_);
          CutOff(closing_ && !reason_.ok() ? reason_ : Cancelled(kNotRead));
        }) {
    worker_ = engine_.Connect(this);
    StartRead(&incoming_);
  }

  void Send(v1::CoordinatorMessage message) override {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    Push(std::move(message));
    const size_t most = std::max(kQueuedBytes, kQueuedLargest * largest_);
    if (queued_bytes_ <= most &&
        (all_queued <= kAllQueuedBytes || queued_bytes_ <= kFairQueuedBytes))
      return;
    const Status reason = ResourceExhausted(
        "the worker reads too slowly: " + std::to_string(queued_bytes_) + " bytes wait for it");
    CloseLocked(reason);
    CutOff(reason);  // what is queued would not be read
  }

  void Flush() override {
    std::lock_guard lock(mutex_);
    if (!writing_ && !queue_.empty()) WriteFront();
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
    traffic_.session_received += incoming_.ByteSizeLong();
    engine_.Received(worker_, incoming_);
    StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    Pop();
    while (!ok && !queue_.empty()) Pop();
    if (!queue_.empty())
      WriteFront();
    else if (closing_)
      FinishOnce();
    else
      watch_.Disarm();
  }

  void OnDone() override {
    engine_.Disconnected(worker_, "the stream was cut");
    while (!queue_.empty()) Pop();
    delete this;
  }

 private:
  struct Queued {
    v1::CoordinatorMessage message;
    size_t bytes;
  };

  void Push(v1::CoordinatorMessage message) {
    const size_t bytes = message.ByteSizeLong();
    queue_.push_back({std::move(message), bytes});
    traffic_.session_sent += bytes;
    queued_bytes_ += bytes;
    largest_ = std::max(largest_, bytes);
    all_queued += bytes;
  }

  void Pop() {
    queued_bytes_ -= queue_.front().bytes;
    all_queued -= queue_.front().bytes;
    queue_.pop_front();
  }

  // Ends the stream at once. The reason overtakes whatever the worker has not read. gRPC's C++ has
  // no such call, but lets extensions use that of the C core.
  void CutOff(const Status& reason) {
    const grpc::Status status = ToGrpc(reason);
    grpc_call_cancel_with_status(context_.c_call(),
                                 static_cast<grpc_status_code>(status.error_code()),
                                 status.error_message().c_str(), nullptr);
  }

  void CloseLocked(const Status& reason) {
    if (closing_) return;
    closing_ = true;
    reason_ = reason;
    watch_.Arm(kFarewell);
    if (writing_) return;
    if (queue_.empty())
      FinishOnce();
    else
      WriteFront();
  }

  void WriteFront() {
    writing_ = true;
    if (!closing_) watch_.Arm(patience_);
    // What more there is goes to the network with it.
    grpc::WriteOptions options;
    if (queue_.size() > 1) options.set_buffer_hint();
    StartWrite(&queue_.front().message, options);
  }

  void FinishOnce() {
    if (finished_) return;
    finished_ = true;
    Finish(ToGrpc(reason_));
  }

  Engine& engine_;
  const std::chrono::seconds patience_;
  Traffic& traffic_;
  const Slots::Slot slot_;
  grpc::CallbackServerContext& context_;
  std::string worker_;
  v1::WorkerMessage incoming_;

  std::mutex mutex_;
  std::deque<Queued> queue_;               // the front is being written if writing_
  size_t queued_bytes_ = 0, largest_ = 0;  // of all messages so far
  bool writing_ = false, closing_ = false, finished_ = false;
  Status reason_;
  Watchdog::Watch watch_;
};

// Of a checkpoint that BeginUpload has let in; ends with it.
class Upload {
 public:
  Upload(Engine& engine, const std::string& ticket) : engine_(engine), ticket_(ticket) {}
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;
  ~Upload() { engine_.EndUpload(ticket_); }

 private:
  Engine& engine_;
  const std::string ticket_;
};

// A session that ends at once.
class RefusedSession : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage> {
 public:
  explicit RefusedSession(const Status& why) { Finish(ToGrpc(why)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>* WorkerServiceImpl::Session(
    grpc::CallbackServerContext* context) {
  StatusOr<Slots::Slot> slot = bounds_.workers.Take();
  if (!slot.ok()) return new RefusedSession(slot.status());
  return new SessionReactor(engine_, bounds_, std::move(*slot), *context);
}

grpc::Status WorkerServiceImpl::FetchFile(grpc::ServerContext* context,
                                          const v1::FetchFileRequest* request,
                                          grpc::ServerWriter<v1::Chunk>* writer) {
  if (!IsSha256Hex(request->sha256()))
    return {grpc::StatusCode::INVALID_ARGUMENT, "a file is named by 64 lower-case hex digits"};
  Transfer transfer(bounds_, bounds_.worker_transfers, *context);
  if (!transfer.status().ok()) return ToGrpc(transfer.status());
  transfer.Pause();  // it is hashed
  const auto file = engine_.store().files().Open(request->sha256());
  if (!file.ok()) return ToGrpc(file.status());
  transfer.Go();
  v1::Chunk chunk;
  SendInChunks(TextOf((*file)->bytes()), transfer, [&](std::string_view piece) {
    chunk.set_data(piece.data(), piece.size());
    return writer->Write(chunk);
  });
  return {};
}

grpc::Status WorkerServiceImpl::FetchCheckpoint(grpc::ServerContext* context,
                                                const v1::FetchCheckpointRequest* request,
                                                grpc::ServerWriter<v1::CheckpointChunk>* writer) {
  return SendCheckpoint(engine_, bounds_, bounds_.worker_transfers, *context, *request, writer);
}

grpc::Status WorkerServiceImpl::FetchCommits(grpc::ServerContext* context,
                                             const v1::FetchCommitsRequest* request,
                                             grpc::ServerWriter<v1::Commit>* writer) {
  const auto job = engine_.Job(request->job_id());
  if (!job.ok()) return ToGrpc(job.status());
  // The journal may already hold one commit more, which is not announced yet.
  const uint32_t end = job->step();
  if (request->from_step() >= end) return {};
  Transfer transfer(bounds_, bounds_.worker_transfers, *context);
  if (!transfer.status().ok()) return ToGrpc(transfer.status());
  const auto journal =
      JournalReader::Open(PosixDisk(), engine_.store().Run(request->job_id()).journal_path());
  if (!journal.ok()) return ToGrpc(journal.status());
  const Status sent = VisitCommits(**journal, end, [&](const CommitRecord& record) -> Status {
    transfer.Moved(record.commit.fitness.size() + 1);
    if (record.commit.step < request->from_step()) return {};
    const v1::Commit commit = CommitToProto(record.commit, record.digest_before);
    transfer.Sent(commit.ByteSizeLong());
    if (writer->Write(commit)) return {};
    return Cancelled("the worker went away");
  });
  return ToGrpc(sent);
}

grpc::Status WorkerServiceImpl::UploadCheckpoint(
    grpc::ServerContext* context, grpc::ServerReader<v1::UploadCheckpointRequest>* reader,
    v1::UploadCheckpointResponse*) {
  Transfer transfer(bounds_, bounds_.worker_transfers, *context);
  if (!transfer.status().ok()) return ToGrpc(transfer.status());
  v1::UploadCheckpointRequest part;
  if (!reader->Read(&part)) return {grpc::StatusCode::INVALID_ARGUMENT, "an empty upload"};
  const std::string job_id = part.job_id();
  const uint32_t step = part.step();
  const std::string ticket = part.ticket();
  const auto job = engine_.Job(job_id);
  if (!job.ok()) return ToGrpc(job.status());
  const auto spec = SpecFromJob(job->job());
  if (!spec.ok()) return ToGrpc(spec.status());
  if (const Status begun = engine_.BeginUpload(job_id, step, ticket); !begun.ok())
    return ToGrpc(begun);
  const Upload upload(engine_, ticket);
  const uint64_t most = MostCheckpointBytes(Model(*spec));
  std::string bytes;
  do {
    // Only what was asked for is held in memory.
    if (const Status wanted = engine_.CheckWanted(job_id, step, ticket); !wanted.ok())
      return ToGrpc(wanted);
    if (bytes.size() + part.data().size() > most)
      return {grpc::StatusCode::INVALID_ARGUMENT,
              "more bytes than a checkpoint of job " + job_id + " has"};
    bytes += part.data();
    transfer.Received(part.data().size());
  } while (reader->Read(&part));
  transfer.Pause();
  return ToGrpc(engine_.OfferCheckpoint(job_id, step, ticket, bytes,
                                        [context] { return context->IsCancelled(); }));
}

}  // namespace hatchery::coordinator

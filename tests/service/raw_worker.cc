// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/service/raw_worker.h"

namespace hatchery::test {

RawWorker::RawWorker(const std::string& address)
    : stub_(v1::WorkerService::NewStub(OwnChannel(address))) {
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(120));
  stream_ = stub_->Session(&context_);
}

RawWorker::~RawWorker() {
  if (stream_ == nullptr) return;
  context_.TryCancel();
  End();
}

void RawWorker::SayHello(const std::function<void(v1::Hello&)>& change) {
  v1::WorkerMessage message = HelloOf("raw");
  if (change) change(*message.mutable_hello());
  Say(message);
}

std::optional<v1::Lease> RawWorker::TakeLease() {
  SayHello();
  const auto welcome = Await(v1::CoordinatorMessage::kWelcome);
  if (!welcome) return std::nullopt;
  Say(AnswerTo(welcome->welcome()));
  const auto assign = Await(v1::CoordinatorMessage::kAssign);
  if (!assign) return std::nullopt;
  digest_ = InitialDigest(assign->assign().job());
  Say(ReadyAt(assign->assign().job_id(), 0, digest_));
  const auto lease = Await(v1::CoordinatorMessage::kLease);
  if (!lease) return std::nullopt;
  return lease->lease();
}

v1::WorkerMessage RawWorker::ResultOf(const v1::Lease& lease) const {
  v1::WorkerMessage message = test::ResultOf(lease, digest_, 0.01);
  v1::Result& result = *message.mutable_result();
  v1::ShardScores& scores = *result.mutable_scores();
  scores.set_begin(lease.pairs().begin());
  scores.set_end(lease.pairs().end());
  scores.set_trits(std::string((lease.pairs().end() - lease.pairs().begin() + 4) / 5, '\0'));
  return message;
}

std::optional<v1::CoordinatorMessage> RawWorker::Await(v1::CoordinatorMessage::KindCase kind) {
  v1::CoordinatorMessage message;
  while (stream_->Read(&message))
    if (message.kind_case() == kind) return message;
  return std::nullopt;
}

grpc::Status RawWorker::End() {
  v1::CoordinatorMessage message;
  while (stream_->Read(&message)) {
  }
  const grpc::Status status = stream_->Finish();
  stream_.reset();
  return status;
}

}  // namespace hatchery::test

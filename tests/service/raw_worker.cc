// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/service/raw_worker.h"

#include <map>
#include <mutex>

#include "kernels/core/version.h"
#include "kernels/model.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/protocol.h"
#include "services/common/known_answer.h"

namespace hatchery::test {
namespace {

// The same for every worker of a release, so it is computed once.
std::string KnownAnswerTo(const v1::Welcome& welcome) {
  static std::mutex mutex;
  static std::map<std::string, std::string> answers;
  const std::lock_guard lock(mutex);
  std::string& answer = answers[welcome.task_data()];
  if (answer.empty()) {
    const auto digest = TrainKnownAnswer(welcome.task(), welcome.task_data(),
                                                 FactoryOf({.name = "cpu", .threads = 1}), {});
    if (digest.ok()) answer = DigestToBytes(*digest);
  }
  return answer;
}

}  // namespace

std::shared_ptr<grpc::Channel> OwnChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

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
  v1::WorkerMessage message;
  v1::Hello& hello = *message.mutable_hello();
  hello.set_protocol_version(kProtocolVersion);
  hello.set_contract_version(core::kContractVersion);
  hello.set_name("raw");
  if (change) change(hello);
  Say(message);
}

std::optional<v1::Lease> RawWorker::TakeLease() {
  SayHello();
  const auto welcome = Await(v1::CoordinatorMessage::kWelcome);
  if (!welcome) return std::nullopt;
  v1::WorkerMessage message;
  message.mutable_known_answer()->set_digest(KnownAnswerTo(welcome->welcome()));
  Say(message);
  const auto assign = Await(v1::CoordinatorMessage::kAssign);
  if (!assign) return std::nullopt;
  const auto spec = SpecFromJob(assign->assign().job());
  if (!spec.ok()) return std::nullopt;
  digest_ = DigestToBytes(DigestOfBytes(InitialWeights(Model(*spec), spec->seed), 0));
  v1::Ready& ready = *message.mutable_ready();
  ready.set_job_id(assign->assign().job_id());
  ready.set_step(0);
  ready.set_digest(digest_);
  Say(message);
  const auto lease = Await(v1::CoordinatorMessage::kLease);
  if (!lease) return std::nullopt;
  return lease->lease();
}

v1::WorkerMessage RawWorker::ResultOf(const v1::Lease& lease) const {
  v1::WorkerMessage message;
  v1::Result& result = *message.mutable_result();
  result.set_job_id(lease.job_id());
  result.set_step(lease.step());
  result.set_lease_id(lease.lease_id());
  result.set_digest(digest_);
  result.set_seconds(0.01);
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

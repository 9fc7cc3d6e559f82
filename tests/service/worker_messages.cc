// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/service/worker_messages.h"

#include <map>
#include <mutex>

#include "kernels/core/version.h"
#include "kernels/model.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/known_answer.h"
#include "services/common/protocol.h"

namespace hatchery::test {

v1::WorkerMessage HelloOf(const std::string& name) {
  v1::WorkerMessage message;
  v1::Hello& hello = *message.mutable_hello();
  hello.set_protocol_version(kProtocolVersion);
  hello.set_contract_version(core::kContractVersion);
  hello.set_name(name);
  return message;
}

v1::WorkerMessage AnswerTo(const v1::Welcome& welcome) {
  static std::mutex mutex;
  static std::map<std::string, std::string> answers;
  const std::lock_guard lock(mutex);
  std::string& answer = answers[welcome.task_data()];
  if (answer.empty()) {
    const auto digest = TrainKnownAnswer(welcome.task(), welcome.task_data(),
                                         FactoryOf({.name = "cpu", .threads = 1}), {});
    if (digest.ok()) answer = DigestToBytes(*digest);
  }
  v1::WorkerMessage message;
  message.mutable_known_answer()->set_digest(answer);
  return message;
}

std::string InitialDigest(const v1::Job& job) {
  const auto spec = SpecFromJob(job);
  if (!spec.ok()) return "";
  return DigestToBytes(DigestOfBytes(InitialWeights(Model(*spec), spec->seed), 0));
}

v1::WorkerMessage ReadyAt(const std::string& job_id, uint32_t step, const std::string& digest) {
  v1::WorkerMessage message;
  v1::Ready& ready = *message.mutable_ready();
  ready.set_job_id(job_id);
  ready.set_step(step);
  ready.set_digest(digest);
  return message;
}

v1::WorkerMessage ResultOf(const v1::Lease& lease, const std::string& digest, double seconds) {
  v1::WorkerMessage message;
  v1::Result& result = *message.mutable_result();
  result.set_job_id(lease.job_id());
  result.set_step(lease.step());
  result.set_lease_id(lease.lease_id());
  result.set_digest(digest);
  result.set_seconds(seconds);
  return message;
}

std::shared_ptr<grpc::Channel> OwnChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace hatchery::test

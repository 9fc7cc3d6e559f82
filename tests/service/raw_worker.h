// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A worker without a model: says whatever a test wants it to say.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "tests/service/worker_messages.h"

namespace hatchery::test {

class RawWorker {
 public:
  explicit RawWorker(const std::string& address);
  ~RawWorker();
  RawWorker(const RawWorker&) = delete;
  RawWorker& operator=(const RawWorker&) = delete;

  bool Say(const v1::WorkerMessage& message) { return stream_->Write(message); }
  // A Hello as of a worker of this release; `change` may spoil it.
  void SayHello(const std::function<void(v1::Hello&)>& change = {});
  // Up to the first lease: Hello, the known answer, Ready with the initial weights' digest.
  std::optional<v1::Lease> TakeLease();
  // A well-formed result of the lease; its scores are made up.
  v1::WorkerMessage ResultOf(const v1::Lease& lease) const;
  // The next message of a kind; nothing if the stream ends first.
  std::optional<v1::CoordinatorMessage> Await(v1::CoordinatorMessage::KindCase kind);
  // How the coordinator ended the stream.
  grpc::Status End();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerMessage, v1::CoordinatorMessage>> stream_;
  std::string digest_;
};

}  // namespace hatchery::test

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <thread>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "services/common/connection.h"
#include "services/worker/event_queue.h"
#include "services/worker/figures.h"

namespace hatchery::worker {

// One stream to the coordinator. Its thread opens it and reads it: it pushes Connected, then a
// Received a message, then Disconnected, always and last.
class Link {
 public:
  // `channel`: by way of `options`. `figures` and `events` must outlive this.
  Link(std::shared_ptr<grpc::Channel> channel, const ConnectionOptions& options,
       WorkerFigures& figures, EventQueue& events);
  // Breaks the stream off if it still stands.
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // After Connected. A message that cannot be sent is dropped: Disconnected is on its way.
  void Send(const v1::WorkerMessage& message);
  // Nothing more will be sent; the coordinator ends the stream when it has read everything.
  void CloseSending();

 private:
  void Read(EventQueue& events);

  const std::shared_ptr<grpc::Channel> channel_;
  const ConnectionOptions options_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  WorkerFigures& figures_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerMessage, v1::CoordinatorMessage>> stream_;
  std::thread reader_;
};

}  // namespace hatchery::worker

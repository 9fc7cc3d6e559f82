// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/link.h"

#include <utility>

#include "services/common/rpc.h"

namespace hatchery::worker {

Link::Link(v1::WorkerService::Stub& stub, EventQueue& events)
    : reader_([this, &stub, &events] { Read(stub, events); }) {}

Link::~Link() {
  context_.TryCancel();
  reader_.join();
}

void Link::Read(v1::WorkerService::Stub& stub, EventQueue& events) {
  stream_ = stub.Session(&context_);
  events.Push(Connected{});
  Received received;
  while (stream_->Read(&received.message)) events.Push(std::exchange(received, {}));
  events.Push(Disconnected{StatusFromGrpc(stream_->Finish())});
}

void Link::Send(const v1::WorkerMessage& message) { stream_->Write(message); }

void Link::CloseSending() { stream_->WritesDone(); }

}  // namespace hatchery::worker

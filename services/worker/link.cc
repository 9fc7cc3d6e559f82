// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/link.h"

#include <chrono>
#include <utility>

namespace hatchery::worker {
namespace {

constexpr std::chrono::seconds kConnectWait{1};

}  // namespace

Link::Link(std::shared_ptr<grpc::Channel> channel, const ConnectionOptions& options,
           WorkerFigures& figures, EventQueue& events)
    : channel_(std::move(channel)),
      options_(options),
      stub_(v1::WorkerService::NewStub(channel_)),
      figures_(figures),
      reader_([this, &events] { Read(events); }) {}

Link::~Link() {
  context_.TryCancel();
  reader_.join();
}

void Link::Read(EventQueue& events) {
  // Nobody looks after a channel that no call waits for: it would find a coordinator that is back
  // seconds later.
  channel_->WaitForConnected(std::chrono::system_clock::now() + kConnectWait);
  stream_ = stub_->Session(&context_);
  events.Push(Connected{});
  Received received;
  while (stream_->Read(&received.message)) {
    if (!figures_.connected.exchange(true)) ++figures_.connects;
    figures_.bytes_received += received.message.ByteSizeLong();
    events.Push(std::exchange(received, {}));
  }
  figures_.connected = false;
  events.Push(Disconnected{StatusOfCall(options_, stream_->Finish())});
}

void Link::Send(const v1::WorkerMessage& message) {
  figures_.bytes_sent += message.ByteSizeLong();
  stream_->Write(message);
}

void Link::CloseSending() { stream_->WritesDone(); }

}  // namespace hatchery::worker

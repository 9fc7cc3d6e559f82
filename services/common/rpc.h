// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What everyone who calls a coordinator needs.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <stop_token>
#include <string>

#include "kernels/status.h"

namespace hatchery {

// Slices of files and checkpoints on their way.
inline constexpr size_t kChunkBytes = size_t{1} << 20;

inline Status StatusFromGrpc(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return {};
    case grpc::StatusCode::INVALID_ARGUMENT:
      return InvalidArgument(status.error_message());
    case grpc::StatusCode::NOT_FOUND:
      return NotFound(status.error_message());
    case grpc::StatusCode::ALREADY_EXISTS:
      return AlreadyExists(status.error_message());
    case grpc::StatusCode::FAILED_PRECONDITION:
      return FailedPrecondition(status.error_message());
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return ResourceExhausted(status.error_message());
    case grpc::StatusCode::DATA_LOSS:
      return DataLoss(status.error_message());
    case grpc::StatusCode::CANCELLED:
      return Cancelled(status.error_message());
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Unavailable(status.error_message());
    default:
      return InternalError(status.error_message());
  }
}

// A channel that tries again soon after a failure: our own back-off decides when we ask.
inline std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // In spite of its name, how long one attempt to connect may take: a busy coordinator needs a
  // while.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// Cancels a call while it lives and `stop` is requested.
class CancelOnStop {
 public:
  CancelOnStop(std::stop_token stop, grpc::ClientContext& context)
      : callback_(std::move(stop), Cancel{&context}) {}

 private:
  struct Cancel {
    grpc::ClientContext* context;
    void operator()() const { context->TryCancel(); }
  };
  std::stop_callback<Cancel> callback_;
};

}  // namespace hatchery

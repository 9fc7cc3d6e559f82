// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What everyone who calls a coordinator needs.
#pragma once

#include <grpcpp/grpcpp.h>

#include <stop_token>
#include <string>

#include "kernels/status.h"

namespace hatchery {

// Slices of files and checkpoints on their way.
inline constexpr size_t kChunkBytes = size_t{1} << 20;
// No message is larger: the scores of the largest lease are some 20 MiB.
inline constexpr int kMaxMessageBytes = 64 << 20;
// Both ends ask a silent connection for a sign of life so often, and give it up after so long.
inline constexpr int kKeepaliveMilliseconds = 30'000;
inline constexpr int kKeepaliveTimeoutMilliseconds = 20'000;

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
    case grpc::StatusCode::UNAUTHENTICATED:    // asking again does not help,
    case grpc::StatusCode::PERMISSION_DENIED:  // another token does
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

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The way to a coordinator: address, TLS and token, the same for workers and clients.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "kernels/status.h"

namespace CLI {
class App;
}

namespace hatchery {

struct ConnectionOptions {
  std::string coordinator = "127.0.0.1:7070";
  std::string tls_ca;             // PEM file; empty: no TLS
  std::string tls_cert, tls_key;  // PEM files, for a coordinator that asks for them; or empty
  std::string token_file;         // empty: the environment's HATCHERY_TOKEN, if it is set
};
// --coordinator, --tls-ca, --tls-cert, --tls-key and --token-file, each with its environment
// variable.
void AddConnectionOptions(CLI::App& command, ConnectionOptions& options);

// A channel that presents the certificate and the token on every call. Refuses to send a token in
// the clear to another machine. Nothing is connected yet.
StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ConnectionOptions& options);

// The error of a call over such a channel that ended with `status`; one that did not get through is
// kUnavailable, with the address and what to do.
Status StatusOfCall(const ConnectionOptions& options, const grpc::Status& status);

}  // namespace hatchery

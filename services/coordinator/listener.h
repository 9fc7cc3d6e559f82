// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The coordinator's door: where it listens, who may come in, and how much of anything.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/status.h"

namespace CLI {
class App;
}

namespace hatchery::coordinator {

struct ListenOptions {
  std::string address = "127.0.0.1:7070";
  std::string tls_cert, tls_key;             // PEM files; empty: no TLS
  std::string tls_client_ca;                 // PEM file; empty: peers need no certificate
  std::string worker_tokens, client_tokens;  // files; empty: no tokens are asked for
  bool insecure = false;                     // listen beyond this machine without TLS
};
void AddListenOptions(CLI::App& app, ListenOptions& options);

// A running server and the address that it is at: port 0 became one that was free.
struct Listening {
  std::unique_ptr<grpc::Server> server;
  std::string address;
};
// Refuses what would let other machines in without TLS, unless `insecure`. `services` must outlive
// the server.
StatusOr<Listening> Listen(const ListenOptions& options,
                           const std::vector<grpc::Service*>& services);

}  // namespace hatchery::coordinator

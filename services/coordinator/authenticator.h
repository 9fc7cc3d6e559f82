// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Who may call what. gRPC asks before a call reaches a service, so no method can forget to.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "services/common/sha256.h"

namespace hatchery::coordinator {

// The tokens of workers, which open WorkerService, and of clients, which open ClientService. Only
// their hashes are kept. Everyone may ask for the server's health.
class Tokens {
 public:
  static StatusOr<Tokens> Read(const std::string& workers_path, const std::string& clients_path);

  // `method` is "/hatchery.v1.WorkerService/Session", `authorization` the header of that name, or
  // empty. UNAUTHENTICATED without a token that we know, PERMISSION_DENIED with one of the other
  // kind.
  grpc::Status Check(std::string_view method, std::string_view authorization) const;

 private:
  std::vector<Sha256Hash> workers_, clients_;
};

// Gives a server's calls to Tokens. Needs server credentials that can be asked for metadata: TLS or
// gRPC's "local" ones.
class Authenticator : public grpc::AuthMetadataProcessor {
 public:
  explicit Authenticator(Tokens tokens) : tokens_(std::move(tokens)) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context,
                       OutputMetadata* consumed, OutputMetadata* response) override;

 private:
  const Tokens tokens_;
};

}  // namespace hatchery::coordinator

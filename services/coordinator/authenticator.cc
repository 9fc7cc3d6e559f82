// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/authenticator.h"

#include <utility>

#include "services/common/secrets.h"

namespace hatchery::coordinator {
namespace {

constexpr std::string_view kScheme = "Bearer ";
constexpr size_t kLongestHeader = 512;  // beyond any token; what is longer is not even hashed

StatusOr<std::vector<Sha256Hash>> ReadHashes(const std::string& path) {
  HATCHERY_ASSIGN_OR_RETURN(const std::vector<std::string> tokens, ReadTokens(path));
  std::vector<Sha256Hash> hashes;
  for (const std::string& token : tokens) hashes.push_back(Sha256Of(token));
  return hashes;
}

// Looks at every hash, whichever is the one.
bool Contains(const std::vector<Sha256Hash>& hashes, const Sha256Hash& hash) {
  bool found = false;
  for (const Sha256Hash& other : hashes) found |= EqualInConstantTime(hash, other);
  return found;
}

std::string_view View(grpc::string_ref text) { return {text.data(), text.size()}; }

}  // namespace

StatusOr<Tokens> Tokens::Read(const std::string& workers_path, const std::string& clients_path) {
  Tokens tokens;
  HATCHERY_ASSIGN_OR_RETURN(tokens.workers_, ReadHashes(workers_path));
  HATCHERY_ASSIGN_OR_RETURN(tokens.clients_, ReadHashes(clients_path));
  for (const Sha256Hash& hash : tokens.workers_)
    if (Contains(tokens.clients_, hash))
      return InvalidArgument("a token is in both " + workers_path + " and " + clients_path +
                             "; each has one right: make another with: openssl rand -hex 32");
  return tokens;
}

grpc::Status Tokens::Check(std::string_view method, std::string_view authorization) const {
  if (method.starts_with("/grpc.health.v1.Health/")) return {};
  const bool of_worker = method.starts_with("/hatchery.v1.WorkerService/");
  const std::string who = of_worker ? "a worker" : "a client";
  if (!authorization.starts_with(kScheme) || authorization.size() > kLongestHeader)
    return {grpc::StatusCode::UNAUTHENTICATED,
            "this coordinator wants a token; give --token-file FILE with one for " + who};
  const Sha256Hash hash = Sha256Of(authorization.substr(kScheme.size()));
  const bool worker = Contains(workers_, hash), client = Contains(clients_, hash);
  if (!worker && !client)
    return {grpc::StatusCode::UNAUTHENTICATED,
            "this coordinator does not know the token; give --token-file FILE with one for " + who};
  if (of_worker ? worker : client) return {};
  return {grpc::StatusCode::PERMISSION_DENIED, std::string("the token is ") +
                                                   (worker ? "a worker's" : "a client's") +
                                                   "; give --token-file FILE with one for " + who};
}

grpc::Status Authenticator::Process(const InputMetadata& metadata, grpc::AuthContext*,
                                    OutputMetadata* consumed, OutputMetadata*) {
  const auto method = metadata.find(":path");
  const auto header = metadata.find("authorization");
  const bool sent = header != metadata.end();
  if (sent)
    consumed->emplace("authorization", std::string(header->second.data(), header->second.size()));
  return tokens_.Check(method == metadata.end() ? "" : View(method->second),
                       sent ? View(header->second) : "");
}

}  // namespace hatchery::coordinator

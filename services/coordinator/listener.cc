// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/listener.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>

#include <CLI/CLI.hpp>
#include <utility>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "services/common/address.h"
#include "services/common/cli_error.h"
#include "services/common/rpc.h"
#include "services/common/secrets.h"
#include "services/coordinator/authenticator.h"

namespace hatchery::coordinator {
namespace {

// What gRPC may hold for all connections together before it sheds some. Messages on their way in
// are counted here, before any code of ours sees them.
constexpr size_t kTransportBytes = size_t{1} << 30;
constexpr int kMaxThreads = 512;  // of calls that wait: watchers and transfers, far fewer
constexpr int kStreamsPerConnection = 256;
constexpr int kMaxMetadataBytes = 16 << 10;
constexpr int kHandshakeMilliseconds = 20'000;
constexpr int kIdleConnectionMilliseconds = 300'000;

Status CheckOptions(const ListenOptions& o) {
  HATCHERY_RETURN_IF_ERROR(CheckAddress(o.address, "--listen"));
  const bool tls = !o.tls_cert.empty(), local = IsLoopback(o.address);
  if (tls == o.tls_key.empty())
    return InvalidArgument("--tls-cert and --tls-key go together; one of them is missing");
  if (!tls && !o.tls_client_ca.empty())
    return InvalidArgument("--tls-client-ca needs --tls-cert and --tls-key");
  if (o.worker_tokens.empty() != o.client_tokens.empty())
    return InvalidArgument(
        "--worker-tokens and --client-tokens go together; one alone would leave the other service "
        "open to everyone");
  if (!tls && !local && !o.insecure)
    return FailedPrecondition(
        "other machines reach " + o.address +
        ", and nothing would be encrypted; give --tls-cert and --tls-key (scripts/dev-certs makes "
        "them), listen on 127.0.0.1, or accept it with --insecure");
  if (!tls && !local && !o.worker_tokens.empty())
    return FailedPrecondition("tokens would travel in the clear to " + o.address +
                              "; give --tls-cert and --tls-key, or leave the tokens out");
  return {};
}

StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(const ListenOptions& options) {
  HATCHERY_ASSIGN_OR_RETURN(KeyPair pair, ReadKeyPair(options.tls_cert, options.tls_key));
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  if (!options.tls_client_ca.empty()) {
    HATCHERY_ASSIGN_OR_RETURN(tls.pem_root_certs, ReadCertificates(options.tls_client_ca));
    tls.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  tls.pem_key_cert_pairs.push_back({std::move(pair.key), std::move(pair.certificates)});
  return grpc::SslServerCredentials(tls);
}

StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(const ListenOptions& options) {
  HATCHERY_RETURN_IF_ERROR(CheckOptions(options));
  const bool tokens = !options.worker_tokens.empty();
  std::shared_ptr<grpc::ServerCredentials> credentials;
  if (!options.tls_cert.empty()) {
    HATCHERY_ASSIGN_OR_RETURN(credentials, TlsCredentials(options));
  } else {
    // Unlike "insecure", these can be asked for tokens, and they check that a peer is this machine.
    credentials = tokens ? grpc::experimental::LocalServerCredentials(LOCAL_TCP)
                         : grpc::InsecureServerCredentials();
  }
  if (tokens) {
    HATCHERY_ASSIGN_OR_RETURN(Tokens known,
                              Tokens::Read(options.worker_tokens, options.client_tokens));
    credentials->SetAuthMetadataProcessor(std::make_shared<Authenticator>(std::move(known)));
  }
  return credentials;
}

void Bound(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  grpc::ResourceQuota quota("coordinator");
  quota.Resize(kTransportBytes).SetMaxThreads(kMaxThreads);
  builder.SetResourceQuota(quota);
  const auto set = [&](const char* name, int value) { builder.AddChannelArgument(name, value); };
  set(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
  set(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  set(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMilliseconds);
  set(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleConnectionMilliseconds);
  // Dead peers are noticed; living ones may ask in their turn, but not hammer.
  set(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
  set(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  set(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kKeepaliveMilliseconds / 3);
  // Without this a second coordinator could share the port, and take half of the workers.
  set(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

}  // namespace

void AddListenOptions(CLI::App& app, ListenOptions& options) {
  app.add_option("--listen", options.address, "address to listen on, HOST:PORT")
      ->capture_default_str();
  app.add_option("--tls-cert", options.tls_cert, "use TLS with this certificate, PEM")
      ->check(ReadableFile());
  app.add_option("--tls-key", options.tls_key, "its private key, PEM")->check(ReadableFile());
  app.add_option("--tls-client-ca", options.tls_client_ca,
                 "want certificates of workers and clients too, of a CA in this PEM file")
      ->check(ReadableFile());
  app.add_option("--worker-tokens", options.worker_tokens,
                 "want a token of this file from workers; one a line")
      ->check(ReadableFile());
  app.add_option("--client-tokens", options.client_tokens,
                 "want a token of this file from clients; one a line")
      ->check(ReadableFile());
  app.add_flag("--insecure", options.insecure,
               "listen to other machines without TLS: anyone there can read and change everything");
}

StatusOr<Listening> Listen(const ListenOptions& options,
                           const std::vector<grpc::Service*>& services) {
  HATCHERY_ASSIGN_OR_RETURN(const auto credentials, Credentials(options));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.address, credentials, &port);
  Bound(builder);
  for (grpc::Service* service : services) builder.RegisterService(service);
  Listening listening{builder.BuildAndStart(), ""};
  if (listening.server == nullptr || port == 0)
    return Unavailable("cannot listen on " + options.address +
                       ": the port is in use or the address is not this machine's; choose another "
                       "with --listen HOST:PORT");
  // The server as a whole is known by itself.
  for (const char* name :
       {v1::WorkerService::service_full_name(), v1::ClientService::service_full_name()})
    listening.server->GetHealthCheckService()->SetServingStatus(name, true);
  listening.address =
      options.address.substr(0, options.address.rfind(':') + 1) + std::to_string(port);
  return listening;
}

}  // namespace hatchery::coordinator

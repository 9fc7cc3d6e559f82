// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/connection.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <optional>
#include <utility>

#include "services/common/address.h"
#include "services/common/rpc.h"
#include "services/common/secrets.h"

namespace hatchery {
namespace {

// Adds the token to every call.
class TokenPlugin : public grpc::MetadataCredentialsPlugin {
 public:
  explicit TokenPlugin(const std::string& token) : header_("Bearer " + token) {}
  bool IsBlocking() const override { return false; }
  const char* GetType() const override { return "hatchery-token"; }
  grpc::Status GetMetadata(grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    metadata->emplace("authorization", header_);
    return grpc::Status::OK;
  }
  grpc::string DebugString() override { return "hatchery-token"; }

 private:
  const std::string header_;
};

// Names the option whose file `error` is about. Not a check of the option itself: newer CLI11
// ignores a variable of the environment that fails one, and would go on without TLS or token.
Status OfOption(const std::string& option, const Status& error) {
  return Status(error.code(), option + ": " + error.message());
}

StatusOr<std::optional<std::string>> TokenOf(const ConnectionOptions& options) {
  if (options.token_file.empty()) {
    const char* token = std::getenv("HATCHERY_TOKEN");
    if (token == nullptr || *token == '\0') return std::optional<std::string>();
    return std::optional<std::string>(token);
  }
  StatusOr<std::vector<std::string>> tokens = ReadTokens(options.token_file);
  if (!tokens.ok()) return OfOption("--token-file", tokens.status());
  if (tokens->size() != 1)
    return InvalidArgument(options.token_file + " holds " + std::to_string(tokens->size()) +
                           " tokens; the file of a worker or client holds its own one");
  return std::optional(std::move(tokens->front()));
}

StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials(
    const ConnectionOptions& options) {
  grpc::SslCredentialsOptions tls;
  StatusOr<std::string> roots = ReadCertificates(options.tls_ca);
  if (!roots.ok()) return OfOption("--tls-ca", roots.status());
  tls.pem_root_certs = std::move(*roots);
  if (options.tls_cert.empty() != options.tls_key.empty())
    return InvalidArgument("--tls-cert and --tls-key go together; one of them is missing");
  if (!options.tls_cert.empty()) {
    StatusOr<KeyPair> pair = ReadKeyPair(options.tls_cert, options.tls_key);
    if (!pair.ok()) return OfOption("--tls-cert, --tls-key", pair.status());
    tls.pem_cert_chain = std::move(pair->certificates);
    tls.pem_private_key = std::move(pair->key);
  }
  return grpc::SslCredentials(tls);
}

StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const ConnectionOptions& options) {
  HATCHERY_ASSIGN_OR_RETURN(const std::optional<std::string> token, TokenOf(options));
  const bool tls = !options.tls_ca.empty();
  if (!tls && !options.tls_cert.empty())
    return InvalidArgument("--tls-cert needs --tls-ca: the CA by which the coordinator is known");
  if (token && !tls && !IsLoopback(options.coordinator))
    return FailedPrecondition("a token would travel in the clear to " + options.coordinator +
                              "; give --tls-ca, or leave the token out");
  std::shared_ptr<grpc::ChannelCredentials> channel;
  if (tls) {
    HATCHERY_ASSIGN_OR_RETURN(channel, TlsCredentials(options));
  } else if (token) {
    // Unlike "insecure", these take a token, and they check that the peer is this machine.
    channel = grpc::experimental::LocalCredentials(LOCAL_TCP);
  } else {
    return grpc::InsecureChannelCredentials();
  }
  if (!token) return channel;
  return grpc::CompositeChannelCredentials(
      channel, grpc::experimental::MetadataCredentialsFromPlugin(
                   std::make_unique<TokenPlugin>(*token),
                   tls ? GRPC_PRIVACY_AND_INTEGRITY : GRPC_SECURITY_NONE));
}

// `why`: gRPC's own words.
std::string WhyNoAnswer(const ConnectionOptions& options, const std::string& why) {
  const auto says = [&](const char* words) { return why.find(words) != std::string::npos; };
  const std::string& address = options.coordinator;
  const std::string host = address.substr(0, address.rfind(':'));
  const bool tls = !options.tls_ca.empty();
  if (says("DNS resolution failed"))
    return "no machine is called " + host + "; name another with --coordinator";
  if (tls && says("certificate verify failed"))
    return "the certificate of " + address +
           " is not of a CA in --tls-ca; give the CA of that coordinator";
  if (tls && (says("is not in peer certificate") || says("Hostname Verification Check failed")))
    return "the certificate of " + address + " does not name " + host +
           "; connect by a name that it has, or make one with that name (scripts/dev-certs)";
  if (tls && says("andshake"))
    return "no TLS connection to " + address +
           ": it wants a certificate (--tls-cert, --tls-key), or it does not use TLS";
  return "no coordinator answers " + std::string(tls ? "over TLS " : "") + "at " + address +
         "; start hatchery-coordinator there, or name another with --coordinator" +
         (tls ? "; one that wants a certificate needs --tls-cert and --tls-key"
              : "; for one that uses TLS give --tls-ca");
}

}  // namespace

void AddConnectionOptions(CLI::App& command, ConnectionOptions& options) {
  command.add_option("--coordinator", options.coordinator, "Address of the coordinator, HOST:PORT")
      ->envname("HATCHERY_COORDINATOR")
      ->capture_default_str();
  command
      .add_option("--tls-ca", options.tls_ca,
                  "Use TLS; the coordinator's certificate must be of a CA in this PEM file")
      ->envname("HATCHERY_TLS_CA");
  command.add_option("--tls-cert", options.tls_cert, "Our own certificate, PEM")
      ->envname("HATCHERY_TLS_CERT");
  command.add_option("--tls-key", options.tls_key, "Its private key, PEM")
      ->envname("HATCHERY_TLS_KEY");
  command
      .add_option("--token-file", options.token_file,
                  "File with our token (default: the variable HATCHERY_TOKEN, if set)")
      ->envname("HATCHERY_TOKEN_FILE");
}

StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ConnectionOptions& options) {
  // gRPC's own log repeats our one line in its own words; GRPC_VERBOSITY brings it back.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  // While no call waits, gRPC looks after a connection in the making only so often (5,000 ms unless
  // told): a handshake of several flights would keep a lost coordinator lost for half a minute.
  setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "50", 0);
  HATCHERY_RETURN_IF_ERROR(CheckAddress(options.coordinator, "--coordinator"));
  HATCHERY_ASSIGN_OR_RETURN(const auto credentials, Credentials(options));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // A connection that a NAT or a pulled cable has cut is noticed even while nothing is said.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Our own back-off decides when we ask; the channel tries again soon after a failure.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // In spite of its name, how long one attempt to connect may take: a busy coordinator needs a
  // while.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  return grpc::CreateCustomChannel(options.coordinator, credentials, arguments);
}

Status StatusOfCall(const ConnectionOptions& options, const grpc::Status& status) {
  const Status error = StatusFromGrpc(status);
  if (error.code() != StatusCode::kUnavailable) return error;
  return Unavailable(WhyNoAnswer(options, error.message()));
}

}  // namespace hatchery

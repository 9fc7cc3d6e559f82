// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/online.h"

#include <CLI/CLI.hpp>

#include "services/common/rpc.h"

namespace hatchery {

void AddOnlineOptions(CLI::App& command, OnlineOptions& options) {
  AddConnectionOptions(command, options);
  command.add_flag("--json", options.json, "One JSON object a line");
}

StatusOr<Online> Online::Open(const OnlineOptions& options) {
  HATCHERY_ASSIGN_OR_RETURN(const auto channel, OpenChannel(options));
  return Online(options, channel);
}

Status Online::Explain(const grpc::Status& status) const {
  const Status error = StatusFromGrpc(status);
  if (error.code() != StatusCode::kUnavailable) return error;
  const std::string& why = error.message();
  if (tls_ && why.find("certificate verify failed") != std::string::npos)
    return Unavailable("the certificate of " + address_ +
                       " is not of a CA in --tls-ca; give the CA of that coordinator");
  if (tls_ && why.find("andshake") != std::string::npos)
    return Unavailable("no TLS connection to " + address_ +
                       ": its certificate does not name that address, it wants a certificate "
                       "(--tls-cert, --tls-key), or it does not use TLS");
  return Unavailable("no coordinator answers " + std::string(tls_ ? "over TLS " : "") + "at " +
                     address_ +
                     "; start hatchery-coordinator there, or name another with --coordinator" +
                     (tls_ ? "; one that wants a certificate needs --tls-cert and --tls-key"
                           : "; for one that uses TLS give --tls-ca"));
}

}  // namespace hatchery

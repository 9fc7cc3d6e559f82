// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/online.h"

#include <CLI/CLI.hpp>

#include "services/common/rpc.h"

namespace hatchery {

void AddOnlineOptions(CLI::App& command, OnlineOptions& options) {
  command.add_option("--coordinator", options.coordinator, "Address of the coordinator, HOST:PORT")
      ->capture_default_str();
  command.add_flag("--json", options.json, "One JSON object a line");
}

Online::Online(const OnlineOptions& options)
    : address_(options.coordinator),
      stub_(v1::ClientService::NewStub(OpenChannel(options.coordinator))) {}

Status Online::Explain(const grpc::Status& status) const {
  const Status error = StatusFromGrpc(status);
  if (error.code() != StatusCode::kUnavailable) return error;
  return Unavailable("no coordinator answers at " + address_ +
                     "; start hatchery-coordinator there, or name another with --coordinator");
}

}  // namespace hatchery

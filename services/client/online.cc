// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/online.h"

#include <CLI/CLI.hpp>

namespace hatchery {

void AddOnlineOptions(CLI::App& command, OnlineOptions& options) {
  AddConnectionOptions(command, options);
  command.add_flag("--json", options.json, "One JSON object a line");
}

StatusOr<Online> Online::Open(const OnlineOptions& options) {
  HATCHERY_ASSIGN_OR_RETURN(const auto channel, OpenChannel(options));
  return Online(options, channel);
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "services/coordinator/authenticator.h"
#include "services/coordinator/engine.h"

namespace CLI {
class App;
}

namespace hatchery::coordinator {

struct PageOptions {
  std::string address;             // HOST:PORT; empty: no page
  std::vector<std::string> names;  // by which browsers may call it, besides its address
  bool insecure = false;           // let other machines read it
};
void AddPageOptions(CLI::App& app, PageOptions& options);

// The coordinator's page (docs/page.md): plain HTTP that can only be read. Serves until destroyed.
class PageServer {
 public:
  // Null if no address is given. Refuses an address that other machines reach unless `insecure`,
  // and then too if there are tokens. With `tokens` it wants one of a client. `engine` must outlive
  // the server and all calls of its OfferCheckpoint.
  static StatusOr<std::unique_ptr<PageServer>> Start(const PageOptions& options,
                                                     std::optional<Tokens> tokens, Engine& engine);
  virtual ~PageServer() = default;
  // HOST:PORT; port 0 became one that was free.
  virtual const std::string& address() const = 0;
};

}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace hatchery {

// A file of the coordinator's page.
struct PageAsset {
  std::string_view path;  // as browsers ask for it: "/page.js"
  std::string_view type;  // its Content-Type
  std::string_view bytes;
};

// All of them; none if this was built without npm.
std::span<const PageAsset> PageAssets();

}  // namespace hatchery

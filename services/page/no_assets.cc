// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/page/assets.h"

namespace hatchery {

std::span<const PageAsset> PageAssets() { return {}; }

}  // namespace hatchery

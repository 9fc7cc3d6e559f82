// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// In place of metal_device.mm on other systems.
#include "metal/device.h"

namespace hatchery::apple {

StatusOr<std::unique_ptr<Device>> OpenMetal() {
  return NotFound(
      "Metal is there on Apple machines only, and this is none; use --backend cpu or cuda");
}

}  // namespace hatchery::apple

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// In place of metal_device.mm on other systems.
#include "metal/metal_replica.h"

namespace hatchery::apple {

StatusOr<DeviceInfo> ReadInfo() {
  return FailedPrecondition(
      "Metal is there on Apple machines only, and this is none; use --backend cpu or cuda");
}

StatusOr<std::unique_ptr<Device>> OpenDevice() { return ReadInfo().status(); }

}  // namespace hatchery::apple

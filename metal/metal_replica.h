// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "kernels/replica.h"
#include "metal/device.h"

namespace hatchery {

// How an evaluation is cut. The defaults suit any Apple GPU; tests cut smaller.
struct MetalOptions {
  // Threadgroups of 32 members that one dispatch has at most.
  uint32_t groups = 256;
  // Multiply-adds of one part of an evaluation, a command buffer of its own: half a second on the
  // slowest GPU of docs/performance.md (M4: half of 4.2 TFLOP/s). The system ends a command buffer
  // that keeps a GPU for seconds, and a request to stop is heard between parts.
  uint64_t work = uint64_t{1} << 39;
  // Memory for noise and activations of one dispatch.
  uint64_t bytes = uint64_t{256} << 20;
  // Multiply-adds of one dispatch of an update.
  uint64_t update_work = uint64_t{1} << 36;
  // Keeps the operands of products in device memory whether they fit threadgroup memory or not.
  bool far = false;
};

// Whether this process can use an Apple GPU through Metal.
bool MetalPresent();

// What Metal says of the GPU. kFailedPrecondition where there is no Metal, with the reason.
StatusOr<apple::DeviceInfo> ReadMetalInfo();

// A replica at step 0 with initial weights, on this machine's GPU. `data` may be empty for replay,
// digest and sampling; it is copied. Errors: an invalid spec, data too short, no Metal, too little
// memory, a GPU that does not multiply exactly.
StatusOr<std::unique_ptr<Replica>> CreateMetalReplica(const JobSpec& spec, DataView data,
                                                      const MetalOptions& options = {});

// The same on `device`.
StatusOr<std::unique_ptr<Replica>> CreateMetalReplica(std::unique_ptr<apple::Device> device,
                                                      const JobSpec& spec, DataView data,
                                                      const MetalOptions& options = {});

namespace apple {
// This machine's GPU, its kernels compiled.
StatusOr<std::unique_ptr<Device>> OpenDevice();
// Metal's own device, without the kernels.
StatusOr<DeviceInfo> ReadInfo();
}  // namespace apple

}  // namespace hatchery

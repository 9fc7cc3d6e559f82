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

// A replica at step 0 with initial weights, on this machine's GPU. `data` may be empty for replay,
// digest and sampling; it is copied. Errors: an invalid spec, data too short, those of
// apple::OpenDevice, too little memory.
StatusOr<std::unique_ptr<Replica>> CreateMetalReplica(const JobSpec& spec, DataView data,
                                                      const MetalOptions& options = {});

// The same on `device`.
StatusOr<std::unique_ptr<Replica>> CreateMetalReplica(std::unique_ptr<apple::Device> device,
                                                      const JobSpec& spec, DataView data,
                                                      const MetalOptions& options = {});

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "kernels/replica.h"
#include "kernels/status.h"

namespace hatchery {

struct BackendOptions {
  std::string name = "auto";  // "auto", "cpu", "cuda"
  unsigned threads = 0;       // of the CPU backend; 0: one a hardware thread
};

// A replica at step 0 with initial weights, on the named backend; "auto" takes the fastest that is
// built in and has a device. `data` may be empty for replay, digest, and sampling.
StatusOr<std::unique_ptr<Replica>> CreateReplica(const JobSpec& spec, DataView data,
                                                 const BackendOptions& options);

}  // namespace hatchery

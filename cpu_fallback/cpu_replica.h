// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "kernels/replica.h"

namespace hatchery {

// Who computes the int8 matrix products. All are bit-identical.
enum class CpuProduct {
  kAuto,      // the first of the others that this processor can run exactly
  kOneDnn,    // refused without VNNI: its int8 products saturate in 16 bits there
  kDot,       // Arm's dot-product instructions; refused where there are none
  kPortable,  // Highway, any processor
};

struct CpuOptions {
  unsigned threads = 0;  // 0: one a hardware thread
  CpuProduct product = CpuProduct::kAuto;
};

// Bytes that a replica takes on this machine's processor, at most; its data is not counted.
struct CpuMemory {
  uint64_t weights = 0;     // as bytes, as packed matrices, and once more while a commit is applied
  uint64_t evaluation = 0;  // activations and noise of every thread's batch of members
  uint64_t total() const { return weights + evaluation; }
};
// `threads` as in CpuOptions.
CpuMemory CpuMemoryOf(const JobSpec& spec, unsigned threads);

// A replica at step 0 with initial weights, on this machine's processor. `data` may be empty for
// replay, digest and sampling. Errors: an invalid spec, data too short, a product that this
// processor cannot compute exactly, and kResourceExhausted where threads or memory run out.
StatusOr<std::unique_ptr<Replica>> CreateCpuReplica(const JobSpec& spec, DataView data,
                                                    const CpuOptions& options = {});

}  // namespace hatchery

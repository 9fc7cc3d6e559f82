// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Which bytes a group of members reads (docs/contract.md, section 6).
#pragma once

#include "kernels/core/noise.h"
#include "kernels/core/update.h"

namespace hatchery::core {

// Offset of the window of `group` at `step`, uniform in [0, positions); positions >= 1. A window
// reads burn_in + window inputs and one byte more, so positions = train_bytes - burn_in - window.
HATCHERY_HD constexpr uint64_t WindowOffset(uint64_t seed, uint32_t step, uint32_t group,
                                            uint64_t positions) {
  const Word4 bits =
      Philox(Word4{0, StreamWord(Domain::kWindow, 0, Factor::kA, 0), group, step}, seed);
  return Multiply(uint64_t{bits.w1} << 32 | bits.w0, positions).high;
}

}  // namespace hatchery::core

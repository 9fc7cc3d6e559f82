// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11.
// A counter and a key in, 128 random bits out, no state: any worker can draw any number.
#pragma once

#include "kernels/core/platform.h"

namespace hatchery::core {

struct Word4 {
  uint32_t w0, w1, w2, w3;
};

// Word `index` (0..3) of `words`; bits above the lowest two of `index` are ignored.
HATCHERY_HD constexpr uint32_t WordAt(Word4 words, uint32_t index) {
  const uint32_t low = (index & 1) ? words.w1 : words.w0;
  const uint32_t high = (index & 1) ? words.w3 : words.w2;
  return (index & 2) ? high : low;
}

HATCHERY_HD constexpr Word4 Philox(Word4 counter, uint64_t key) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * counter.w0;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * counter.w2;
    counter = Word4{static_cast<uint32_t>(p1 >> 32) ^ counter.w1 ^ k0, static_cast<uint32_t>(p1),
                    static_cast<uint32_t>(p0 >> 32) ^ counter.w3 ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

}  // namespace hatchery::core

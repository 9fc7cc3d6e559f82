// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The replica's 128-bit fingerprint (docs/contract.md, section 8): two lanes, each the wrapping sum
// over 8-byte little-endian words of a mix of the word and its global index. Sums commute, so any
// order and any slicing gives the same digest. It finds accidents, not malice.
#pragma once

#include "kernels/core/platform.h"

namespace hatchery::core {

struct Digest {
  uint64_t lane0 = 0;
  uint64_t lane1 = 0;

  // Nothing is returned: Metal's references name an address space, those of C++ and CUDA cannot.
  HATCHERY_HD constexpr void operator+=(Digest other) {
    lane0 += other.lane0;
    lane1 += other.lane1;
  }
  HATCHERY_HD constexpr bool operator==(Digest other) const {
    return lane0 == other.lane0 && lane1 == other.lane1;
  }
};

// A bijection of 64-bit words whose every output bit depends on every input bit (the finalizer of
// Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA'14, variant 13).
HATCHERY_HD constexpr uint64_t Mix(uint64_t v) {
  v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9u;
  v = (v ^ (v >> 27)) * 0x94D049BB133111EBu;
  return v ^ (v >> 31);
}

// What the word at `index` (in 8-byte words from the start of the replica) adds to the digest.
HATCHERY_HD constexpr Digest DigestOfWord(uint64_t index, uint64_t word) {
  return Digest{Mix(word ^ Mix((index + 1) * 0x9E3779B97F4A7C15u)),
                Mix(word + Mix((index + 1) * 0xC2B2AE3D27D4EB4Fu))};
}

}  // namespace hatchery::core

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Ternary fitness, five trits a byte (docs/contract.md, section 7): trit i of the byte is
// floor(byte / 3^i) mod 3, minus 1. Bytes 243 to 255 are invalid; padding trits are 0.
#pragma once

#include "kernels/core/platform.h"

namespace hatchery::core {

HATCHERY_CONSTANT uint32_t kTritsPerByte = 5;
HATCHERY_CONSTANT uint32_t kTritByteLimit = 243;

HATCHERY_HD constexpr uint32_t PowerOfThree(uint32_t i) {
  return i == 0 ? 1 : i == 1 ? 3 : i == 2 ? 9 : i == 3 ? 27 : 81;
}

// Value in {-1, 0, 1} of trit `i` (0..4) of a valid byte.
HATCHERY_HD constexpr int32_t TritAt(uint32_t byte, uint32_t i) {
  return static_cast<int32_t>(byte / PowerOfThree(i) % 3) - 1;
}

// What trit `value` at place `i` contributes to its byte.
HATCHERY_HD constexpr uint32_t TritTerm(int32_t value, uint32_t i) {
  return static_cast<uint32_t>(value + 1) * PowerOfThree(i);
}

// Bytes that `trits` trits take.
HATCHERY_HD constexpr uint32_t TritBytes(uint32_t trits) {
  return (trits + kTritsPerByte - 1) / kTritsPerByte;
}

HATCHERY_HD constexpr int32_t SignFitness(int32_t score_plus, int32_t score_minus) {
  return (score_plus > score_minus) - (score_plus < score_minus);
}

}  // namespace hatchery::core

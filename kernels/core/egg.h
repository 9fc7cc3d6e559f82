// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The scalar steps of model `egg`, a minGRU language model over bytes (docs/contract.md, section 5;
// after nano-egg, "Evolution Strategies at the Hyperscale", with our saturation and gate).
#pragma once

#include "kernels/core/arithmetic.h"

namespace hatchery::core {

HATCHERY_CONSTANT uint32_t kVocabulary = 256;
HATCHERY_CONSTANT uint32_t kMlpExpansion = 4;

// max(1, floor(sum |x| / n)): the L1 norm's divisor. `abs_sum` <= 128 n.
HATCHERY_HD constexpr int32_t NormDivisor(int32_t abs_sum, uint32_t n) {
  const int32_t mean = abs_sum / static_cast<int32_t>(n);
  return mean < 1 ? 1 : mean;
}

HATCHERY_HD constexpr int32_t NormOutput(int32_t x, int32_t gain, int32_t divisor) {
  return Saturate(FloorDiv(x * gain, divisor));
}

// f or c: both products already saturated by matmul.
HATCHERY_HD constexpr int32_t GateSum(int32_t from_x, int32_t from_state, int32_t bias) {
  return Saturate(from_x + from_state + bias);
}

// g: the part of the state that the candidate sees.
HATCHERY_HD constexpr int32_t GatedState(int32_t f, int32_t h) { return ((f + 128) * h) >> 8; }

HATCHERY_HD constexpr int32_t NextState(int32_t f, int32_t c, int32_t h) {
  return Saturate(h + (((f + 128) * (c - h)) >> 8));
}

HATCHERY_HD constexpr int32_t Residual(int32_t x, int32_t r) { return Saturate(x + r); }

}  // namespace hatchery::core

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Log-likelihood in fixed point (docs/contract.md, section 6). A logit is in sixteenths of a bit;
// scores are in 1/4096 of a bit, at most 0, larger is better.
#pragma once

#include "kernels/core/tables.h"

namespace hatchery::core {

HATCHERY_CONSTANT int32_t kScoreUnitsPerBit = 4096;
// A token costs less than 24 bits, so a window's score fits in int32 up to this many tokens.
HATCHERY_CONSTANT uint32_t kMaxWindow = 16384;

// One term of the softmax sum, 2^(logit/16) scaled; 256 of them fit in 32 bits.
HATCHERY_HD inline uint32_t SoftmaxTerm(int32_t logit) {
  return Exp2Table(static_cast<uint32_t>(logit + 128));
}

// Index of the highest set bit of v >= 1.
HATCHERY_HD constexpr uint32_t HighBit(uint32_t v) {
  uint32_t bit = 0;
  for (uint32_t width = 16; width != 0; width >>= 1) {
    const uint32_t shift = (v >> width) != 0 ? width : 0;
    v >>= shift;
    bit += shift;
  }
  return bit;
}

// log2(v) in 1/65536, v >= 1: table of 256 mantissa steps, linear in between (error < 5 units).
HATCHERY_HD inline uint32_t Log2(uint32_t v) {
  const uint32_t exponent = HighBit(v);
  const uint32_t mantissa = v << (31 - exponent);
  const uint32_t index = mantissa >> 23 & 0xFF;
  const uint32_t fraction = mantissa >> 7 & 0xFFFF;
  const uint32_t low = Log2Table(index);
  return (exponent << 16) + low + (((Log2Table(index + 1) - low) * fraction) >> 16);
}

// log2 of the softmax's denominator, sum 2^(logit/16), in 1/65536 of a bit, from the sum of
// SoftmaxTerm over the vocabulary. A term is 2^(logit/16) * 2^23 * 2^(-127/16).
HATCHERY_HD inline int32_t LogSum(uint32_t term_sum) {
  return static_cast<int32_t>(Log2(term_sum)) - ((23 << 16) - (127 << 12));
}

// The score of one token, logit_t - log2 sum 2^logit, in 1/4096 of a bit, rounded to nearest.
HATCHERY_HD inline int32_t TokenScore(int32_t logit, uint32_t term_sum) {
  return logit * 256 - ((LogSum(term_sum) + 8) >> 4);
}

// The same by the reference's scorer, which floors the logarithm to sixteenths of a bit; in
// sixteenths of a bit.
HATCHERY_HD inline int32_t CoarseTokenScore(int32_t logit, uint32_t term_sum) {
  return logit - (LogSum(term_sum) >> 12);
}

}  // namespace hatchery::core

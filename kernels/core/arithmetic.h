// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// int8 arithmetic of the contract (docs/contract.md, section 2). Activations saturate to
// [-128, 127], weights stay in [-127, 127]. Right shifts of negative numbers and all divisions
// round toward minus infinity.
#pragma once

#include "kernels/core/noise.h"

namespace hatchery::core {

// The largest supported row length: 127 * 128 * kMaxInputs and every Rademacher perturbation of
// it stay inside int32.
HATCHERY_CONSTANT uint32_t kMaxInputs = 32768;

HATCHERY_HD constexpr int32_t Saturate(int32_t v) { return v < -128 ? -128 : v > 127 ? 127 : v; }

HATCHERY_HD constexpr int32_t ClipWeight(int32_t v) { return v < -127 ? -127 : v > 127 ? 127 : v; }

// floor(a / d) for d >= 1.
HATCHERY_HD constexpr int32_t FloorDiv(int32_t a, int32_t d) { return a / d - (a % d < 0); }
HATCHERY_HD constexpr int64_t FloorDiv(int64_t a, int64_t d) { return a / d - (a % d < 0); }

// floor(sqrt(v)).
HATCHERY_HD constexpr uint64_t SquareRoot(uint64_t v) {
  uint64_t root = 0;
  for (uint64_t bit = uint64_t{1} << 62; bit != 0; bit >>= 2) {
    const bool take = v >= root + bit;
    v -= take ? root + bit : 0;
    root = (root >> 1) + (take ? bit : 0);
  }
  return root;
}

// What matmul divides by: 16 * isqrt(n_in) undoes the four fractional bits and the growth of a sum
// of n_in terms.
HATCHERY_HD constexpr int32_t MatmulDivisor(uint32_t inputs) {
  return 16 * static_cast<int32_t>(SquareRoot(inputs));
}

// One output of matmul: `sum` is the dot product W x plus the perturbation of MatrixPerturbation,
// exact; Gaussian perturbations can take it past 32 bits.
HATCHERY_HD constexpr int32_t MatmulOutput(int64_t sum, int32_t divisor) {
  const int64_t quotient = FloorDiv(sum, int64_t{divisor});
  return quotient < -128 ? -128 : quotient > 127 ? 127 : static_cast<int32_t>(quotient);
}

// What a pair's low-rank noise adds to one dot product of member sign `sign`: `product` is
// sum over ranks of A[o] * (B . x), exact. sigma = 2^(4 - sigma_shift) weight units; the shift
// applies to the finished product, sign first.
HATCHERY_HD constexpr int64_t MatrixPerturbation(Noise noise, uint32_t sigma_shift, int32_t sign,
                                                 int64_t product) {
  const int64_t signed_product = sign * product;
  return noise == Noise::kRademacher ? signed_product * (int64_t{16} >> sigma_shift)
                                     : signed_product >> (4 + sigma_shift);
}

// What a pair's noise adds to one gain, bias or embedding element.
HATCHERY_HD constexpr int32_t ElementPerturbation(Noise noise, uint32_t sigma_shift, int32_t sign,
                                                  int32_t value) {
  return noise == Noise::kRademacher ? sign * value * (16 >> sigma_shift)
                                     : (sign * value) >> sigma_shift;
}

// A Rademacher perturbation below one unit would lose the sign of vectors, so it is refused.
HATCHERY_HD constexpr uint32_t MaxSigmaShift(Noise noise) {
  return noise == Noise::kRademacher ? 4 : 12;
}

}  // namespace hatchery::core

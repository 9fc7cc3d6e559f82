// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The elementwise steps of the contract over rows of int8, vectorised for the processor at hand.
// `n` is the number of elements that count; rows are readable and writable up to Padded(n), and
// outputs are zero from n on. Noise bits: bit e set means -1, up to Padded(n) bits readable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace hatchery::vector_ops {

// Exact floor division of matmul sums by 16 isqrt(n): a shift where that is a power of two, else a
// multiplication by the reciprocal. Sums are first clamped to where the quotient saturates, so
// floor((sum + 1/2) * reciprocal) errs by less than 1/2 / divisor and is exact (tests/cpu proves
// every divisor).
struct Divider {
  explicit Divider(int32_t divisor);
  int32_t limit;     // sums beyond +-limit saturate
  int shift;         // log2(divisor), or -1
  float reciprocal;  // 1 / divisor
};

// sum over e < n of +-x[e]: minus where bit e is set. `negatives`: set bits below n; all bits from
// n to Padded(n) are clear and x is zero there.
int32_t SignDot(const uint8_t* bits, int32_t negatives, const int8_t* x, size_t n);

// sums[e] += bit e ? -delta : delta.
void AddSigned(const uint8_t* bits, int32_t delta, size_t n, int32_t* sums);

// out[e] = sat(floor(sums[e] / divisor)).
void Finish(const int32_t* sums, const Divider& divider, size_t n, int8_t* out);

// AddSigned, then Finish, without storing the sums.
void FinishSigned(const int32_t* sums, const uint8_t* bits, int32_t delta, const Divider& divider,
                  size_t n, int8_t* out);

// The scalar steps of kernels/core/egg.h, by row.
void Norm(const int8_t* x, const int8_t* gain, size_t n, int8_t* out);
void GateSum(const int8_t* from_x, const int8_t* from_state, const int8_t* bias, size_t n,
             int8_t* out);
void GatedState(const int8_t* f, const int8_t* h, size_t n, int8_t* out);
void NextState(const int8_t* f, const int8_t* c, size_t n, int8_t* h);
void Residual(const int8_t* x, const int8_t* r, size_t n, int8_t* out);

// out[i] = bit i of `mask` set ? -values[i] : values[i], for 64 elements.
void ExpandSignedValues(uint64_t mask, const int8_t* values, int8_t* out);

// The instruction set in use: "AVX3", "AVX2", "NEON".
std::string TargetName();

}  // namespace hatchery::vector_ops

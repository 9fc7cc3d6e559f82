// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The contract's arithmetic on four int8 values a register. Byte order within a register is the
// fast kernel's own (layout.h).
#pragma once

#include <cstdint>

#include "kernels/cuda/division.h"

namespace hatchery::cuda {

template <uint32_t kSelector>
__device__ inline uint32_t Permute(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "n"(kSelector));
  return d;
}

// Two int32, saturated to int16: `high` above `low`.
__device__ inline uint32_t Pack16(int32_t high, int32_t low) {
  uint32_t d;
  asm("cvt.pack.sat.s16.s32 %0, %1, %2;" : "=r"(d) : "r"(high), "r"(low));
  return d;
}

// sat8(floor(v / 256)) of four sums, which is the upper byte of each saturated to int16.
__device__ inline uint32_t UpperBytes(uint32_t v01, uint32_t v23) {
  return Permute<0x7531>(v01, v23);
}
// The same of two, as int16 each.
__device__ inline uint32_t UpperBytes16(uint32_t v01) { return Permute<0xB391>(v01, 0); }

// Bytes 0 and 1, 2 and 3, as int16 each; and back, without saturation.
__device__ inline uint32_t Low16(uint32_t bytes) { return Permute<0x9180>(bytes, 0); }
__device__ inline uint32_t High16(uint32_t bytes) { return Permute<0xB3A2>(bytes, 0); }
__device__ inline uint32_t Bytes16(uint32_t low, uint32_t high) {
  return Permute<0x6420>(low, high);
}

__device__ inline uint32_t Add16(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("add.s16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}

// Both int16 to [-128, 127].
__device__ inline uint32_t Saturate16(uint32_t v) {
  uint32_t d;
  asm("{\n.reg .b32 t;\nmax.s16x2 t, %1, %2;\nmin.s16x2 %0, t, %3;\n}"
      : "=r"(d)
      : "r"(v), "r"(0xFF80FF80u), "r"(0x007F007Fu));
  return d;
}

// c + sum of u[i] * s[i], u unsigned, s signed bytes.
__device__ inline int32_t DotUnsigned(uint32_t u, uint32_t s, int32_t c) {
  int32_t d;
  asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(u), "r"(s), "r"(c));
  return d;
}
__device__ inline int32_t Dot(uint32_t a, uint32_t b, int32_t c) {
  return __dp4a(static_cast<int32_t>(a), static_cast<int32_t>(b), c);
}

// Bit 0 of every byte of `bits`, as +1 (clear) or -1 (set); and as 0 or 0xFF.
__device__ inline uint32_t SignBytes(uint32_t bits) {
  return (bits & 0x01010101u) * 0xFEu + 0x01010101u;
}
__device__ inline uint32_t MaskBytes(uint32_t bits) { return (bits & 0x01010101u) * 0xFFu; }

__device__ inline uint32_t Residual4(uint32_t a, uint32_t b) {
  return Bytes16(Saturate16(Add16(Low16(a), Low16(b))), Saturate16(Add16(High16(a), High16(b))));
}

// sum |x| onto `sum`.
__device__ inline int32_t AddMagnitudes(uint32_t x, int32_t sum) {
  return Dot(x, SignBytes(x >> 7), sum);
}

// Byte kByte of each of four registers.
template <uint32_t kByte>
__device__ inline uint32_t Gather(int32_t v0, int32_t v1, int32_t v2, int32_t v3) {
  constexpr uint32_t kPair = kByte | (4 + kByte) << 4;
  return Permute<0x5410>(Permute<kPair>(v0, v1), Permute<kPair>(v2, v3));
}

// ((f + 128) h) >> 8; `gate` is f + 128, unsigned.
__device__ inline uint32_t GatedState4(uint32_t gate, uint32_t h) {
  int32_t v[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) v[j] = DotUnsigned(gate & 0xFFu << 8 * j, h, 0);
  return Gather<1>(v[0], v[1], v[2], v[3]);
}

// h + ((gate (c - h)) >> 8) = (gate c + (255 - gate) h + h) >> 8, which lies between c and h.
__device__ inline uint32_t NextState4(uint32_t gate, uint32_t c, uint32_t h) {
  int32_t v[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const uint32_t byte = 0xFFu << 8 * j;
    v[j] = DotUnsigned(0x01u << 8 * j, h,
                       DotUnsigned(~gate & byte, h, DotUnsigned(gate & byte, c, 0)));
  }
  return Gather<1>(v[0], v[1], v[2], v[3]);
}

__device__ inline uint32_t Norm4(uint32_t x, uint32_t gain, NormDivision d) {
  int32_t v[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) v[j] = DivideTop(Dot(x & 0xFFu << 8 * j, gain, 0), d);
  return Gather<3>(v[0], v[1], v[2], v[3]);
}

}  // namespace hatchery::cuda

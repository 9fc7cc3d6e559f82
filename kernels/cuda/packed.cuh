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

// Four int32 saturated to int8, v0 in the lowest byte.
__device__ inline uint32_t PackBytes(int32_t v0, int32_t v1, int32_t v2, int32_t v3) {
  uint32_t high, d;
  asm("cvt.pack.sat.s8.s32.b32 %0, %1, %2, 0;" : "=r"(high) : "r"(v3), "r"(v2));
  asm("cvt.pack.sat.s8.s32.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(v1), "r"(v0), "r"(high));
  return d;
}

// Bytes 0 and 1, 2 and 3, as int16 each, signed and unsigned; and back, without saturation.
__device__ inline uint32_t Low16(uint32_t bytes) { return Permute<0x9180>(bytes, 0); }
__device__ inline uint32_t High16(uint32_t bytes) { return Permute<0xB3A2>(bytes, 0); }
__device__ inline uint32_t LowUnsigned16(uint32_t bytes) { return Permute<0x4140>(bytes, 0); }
__device__ inline uint32_t HighUnsigned16(uint32_t bytes) { return Permute<0x4342>(bytes, 0); }
__device__ inline uint32_t Bytes16(uint32_t low, uint32_t high) {
  return Permute<0x6420>(low, high);
}

__device__ inline uint32_t Add16(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("add.s16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}

// Offset bytes carry v + 128, unsigned: so a sum saturated to int8 is one instruction for two, and
// Offset4 turns four of them into int8 and back.
__device__ inline uint32_t Offset4(uint32_t bytes) { return bytes ^ 0x80808080u; }
__device__ inline uint32_t SaturatedSum16(uint32_t v, uint32_t offset) {
  return __viaddmin_s16x2_relu(v, offset, 0x00FF00FFu);
}

__device__ inline int32_t Dot(uint32_t a, uint32_t b, int32_t c) {
  return __dp4a(static_cast<int32_t>(a), static_cast<int32_t>(b), c);
}
// The same with unsigned bytes of b.
__device__ inline int32_t DotUnsigned(uint32_t a, uint32_t b, int32_t c) {
  int32_t d;
  asm("dp4a.s32.u32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}
// c + the dot product of two int16 with bytes 0 and 1 (low), 2 and 3 (high).
__device__ inline int32_t DotLow(uint32_t halves, uint32_t bytes, int32_t c) {
  return __dp2a_lo(static_cast<int32_t>(halves), static_cast<int32_t>(bytes), c);
}
__device__ inline int32_t DotHigh(uint32_t halves, uint32_t bytes, int32_t c) {
  return __dp2a_hi(static_cast<int32_t>(halves), static_cast<int32_t>(bytes), c);
}
// The same with unsigned bytes.
__device__ inline int32_t DotLowUnsigned(uint32_t halves, uint32_t bytes, uint32_t c) {
  int32_t d;
  asm("dp2a.lo.s32.u32 %0, %1, %2, %3;" : "=r"(d) : "r"(halves), "r"(bytes), "r"(c));
  return d;
}
__device__ inline int32_t DotHighUnsigned(uint32_t halves, uint32_t bytes, uint32_t c) {
  int32_t d;
  asm("dp2a.hi.s32.u32 %0, %1, %2, %3;" : "=r"(d) : "r"(halves), "r"(bytes), "r"(c));
  return d;
}

// The upper bit of every byte, as 0 or 0xFF; and as +1 (clear) or -1 (set).
__device__ inline uint32_t UpperBitMasks(uint32_t bits) { return Permute<0xBA98>(bits, 0); }
__device__ inline uint32_t UpperBitSigns(uint32_t bits) {
  return UpperBitMasks(bits) | 0x01010101u;
}
// Bit 0 of every byte of `bits`, as +1 (clear) or -1 (set); and as 0 or 0xFF.
__device__ inline uint32_t SignBytes(uint32_t bits) {
  return (bits & 0x01010101u) * 0xFEu + 0x01010101u;
}
__device__ inline uint32_t MaskBytes(uint32_t bits) { return (bits & 0x01010101u) * 0xFFu; }

// Adds |v| of four offset bytes to `sum`.
__device__ inline int32_t AddMagnitudes(uint32_t offset_bytes, int32_t sum) {
  int32_t d;
  asm("vabsdiff4.u32.u32.u32.add %0, %1, %2, %3;"
      : "=r"(d)
      : "r"(offset_bytes), "r"(0x80808080u), "r"(sum));
  return d;
}

// Byte kByte of each of four registers.
template <uint32_t kByte>
__device__ inline uint32_t Gather(int32_t v0, int32_t v1, int32_t v2, int32_t v3) {
  constexpr uint32_t kPair = kByte | (4 + kByte) << 4;
  return Permute<0x5410>(Permute<kPair>(v0, v1), Permute<kPair>(v2, v3));
}

// Every other byte, so that a dot product of two picks one.
__device__ inline uint32_t EvenBytes(uint32_t v) { return v & 0x00FF00FFu; }
__device__ inline uint32_t OddBytes(uint32_t v) { return v & 0xFF00FF00u; }

// (gate h) >> 8; the four gates are f + 128, two a register.
__device__ inline uint32_t GatedState4(uint32_t gate01, uint32_t gate23, uint32_t h) {
  const uint32_t even = EvenBytes(h), odd = OddBytes(h);
  return Gather<1>(DotLow(gate01, even, 0), DotLow(gate01, odd, 0), DotHigh(gate23, even, 0),
                   DotHigh(gate23, odd, 0));
}

// h + ((gate (c - h)) >> 8), which lies between c and h: byte 1 of gate (c - h) + 256 h. Gates are
// offset bytes; c is offset too, two a register.
__device__ inline uint32_t NextState4(uint32_t gate, uint32_t c01, uint32_t c23, uint32_t h) {
  const uint32_t from = Offset4(h);
  const uint32_t step01 = __vsub2(c01, LowUnsigned16(from));
  const uint32_t step23 = __vsub2(c23, HighUnsigned16(from));
  const uint32_t even = EvenBytes(gate), odd = OddBytes(gate);
  return Gather<1>(DotLowUnsigned(step01, even, h << 8), DotLowUnsigned(step01, odd, h & ~0xFFu),
                   DotHighUnsigned(step23, even, Permute<0x4424>(h, 0)),
                   DotHighUnsigned(step23, odd, Permute<0x4434>(h, 0)));
}

// sat(floor(x gain / m)), `reciprocal` being of m.
__device__ inline uint32_t Norm4(uint32_t x, uint32_t gain, int32_t reciprocal) {
  // 256 x, one a register, in the half that meets its gain.
  const uint32_t x0 = Permute<0x4404>(x, 0), x1 = Permute<0x1444>(x, 0);
  const uint32_t x2 = Permute<0x4424>(x, 0), x3 = Permute<0x3444>(x, 0);
  return PackBytes(Divide(DotLow(x0, gain, kDivideRounding), reciprocal),
                   Divide(DotLow(x1, gain, kDivideRounding), reciprocal),
                   Divide(DotHigh(x2, gain, kDivideRounding), reciprocal),
                   Divide(DotHigh(x3, gain, kDivideRounding), reciprocal));
}

}  // namespace hatchery::cuda

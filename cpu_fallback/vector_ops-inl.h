// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Compiled once for each instruction set, by vector_ops.cc.
#if defined(HATCHERY_VECTOR_OPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HATCHERY_VECTOR_OPS_INL_H_
#undef HATCHERY_VECTOR_OPS_INL_H_
#else
#define HATCHERY_VECTOR_OPS_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "cpu_fallback/product.h"
#include "cpu_fallback/vector_ops.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hatchery::vector_ops {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 64 bytes, so that rows padded to 64 elements need no tails.
using Bytes = hn::CappedTag<int8_t, 64>;
using Unsigned = hn::CappedTag<uint8_t, 64>;
using Words = hn::CappedTag<int32_t, 16>;
using QuarterBytes = hn::Rebind<int8_t, Words>;
using Floats = hn::Rebind<float, Words>;
using Halves = hn::CappedTag<int16_t, 32>;
using HalfBytes = hn::Rebind<int8_t, Halves>;

HWY_INLINE void ClearTail(size_t n, int8_t* out) { std::memset(out + n, 0, Padded(n) - n); }

// Mask of Lanes(Words()) bits from bit `at` on, a multiple of the lanes.
HWY_INLINE auto MaskAt(const uint8_t* bits, size_t at) {
  const Words d;
  if (hn::Lanes(d) >= 8) return hn::LoadMaskBits(d, bits + at / 8);
  uint8_t shifted[8] = {static_cast<uint8_t>(bits[at / 8] >> (at % 8))};
  return hn::LoadMaskBits(d, shifted);
}

int32_t SignDotImpl(const uint8_t* bits, int32_t negatives, const int8_t* x, size_t n) {
  const Unsigned d;
  const hn::Repartition<uint64_t, Unsigned> d64;
  const auto bias = hn::Set(d, 0x80);
  auto all = hn::Zero(d64), negated = hn::Zero(d64);
  for (size_t e = 0; e < n; e += hn::Lanes(d)) {
    const auto v = hn::Xor(hn::LoadU(d, reinterpret_cast<const uint8_t*>(x + e)), bias);
    const auto mask = hn::LoadMaskBits(d, bits + e / 8);
    all = hn::Add(all, hn::SumsOf8(v));
    negated = hn::Add(negated, hn::SumsOf8(hn::IfThenElseZero(mask, v)));
  }
  const size_t covered = (n + hn::Lanes(d) - 1) / hn::Lanes(d) * hn::Lanes(d);
  const int64_t sum = static_cast<int64_t>(hn::GetLane(hn::SumOfLanes(d64, all))) -
                      128 * static_cast<int64_t>(covered);
  const int64_t minus =
      static_cast<int64_t>(hn::GetLane(hn::SumOfLanes(d64, negated))) - int64_t{128} * negatives;
  return static_cast<int32_t>(sum - 2 * minus);
}

template <class V>
HWY_INLINE V Signed(const uint8_t* bits, size_t e, V plus, V minus) {
  return hn::IfThenElse(MaskAt(bits, e), minus, plus);
}

void AddSignedImpl(const uint8_t* bits, int32_t delta, size_t n, int32_t* sums) {
  const Words d;
  const auto plus = hn::Set(d, delta), minus = hn::Set(d, -delta);
  for (size_t e = 0; e < n; e += hn::Lanes(d))
    hn::StoreU(hn::Add(hn::LoadU(d, sums + e), Signed(bits, e, plus, minus)), d, sums + e);
}

// floor(v / divisor), clamped to int8 by the demotion that follows.
template <class V>
HWY_INLINE V Divide(V v, const Divider& divider) {
  const Words d;
  const Floats df;
  if (divider.shift >= 0) return hn::ShiftRightSame(v, divider.shift);
  const auto limit = hn::Set(d, divider.limit);
  const auto clamped = hn::Max(hn::Min(v, limit), hn::Neg(limit));
  const auto half = hn::Add(hn::ConvertTo(df, clamped), hn::Set(df, 0.5f));
  return hn::ConvertTo(d, hn::Floor(hn::Mul(half, hn::Set(df, divider.reciprocal))));
}

void FinishImpl(const int32_t* sums, const Divider& divider, size_t n, int8_t* out) {
  const Words d;
  for (size_t e = 0; e < n; e += hn::Lanes(d))
    hn::StoreU(hn::DemoteTo(QuarterBytes(), Divide(hn::LoadU(d, sums + e), divider)),
               QuarterBytes(), out + e);
  ClearTail(n, out);
}

void FinishSignedImpl(const int32_t* sums, const uint8_t* bits, int32_t delta,
                      const Divider& divider, size_t n, int8_t* out) {
  const Words d;
  const auto plus = hn::Set(d, delta), minus = hn::Set(d, -delta);
  for (size_t e = 0; e < n; e += hn::Lanes(d)) {
    const auto sum = hn::Add(hn::LoadU(d, sums + e), Signed(bits, e, plus, minus));
    hn::StoreU(hn::DemoteTo(QuarterBytes(), Divide(sum, divider)), QuarterBytes(), out + e);
  }
  ClearTail(n, out);
}

// max(1, floor(sum |x| / n)); |-128| is 128 as an unsigned byte.
HWY_INLINE int32_t NormDivisorOf(const int8_t* x, size_t n) {
  const Bytes d;
  const Unsigned du;
  const hn::Repartition<uint64_t, Unsigned> d64;
  auto sums = hn::Zero(d64);
  for (size_t e = 0; e < n; e += hn::Lanes(d))
    sums = hn::Add(sums, hn::SumsOf8(hn::BitCast(du, hn::Abs(hn::LoadU(d, x + e)))));
  const uint64_t mean = hn::GetLane(hn::SumOfLanes(d64, sums)) / n;
  return static_cast<int32_t>(std::max<uint64_t>(1, mean));
}

void NormImpl(const int8_t* x, const int8_t* gain, size_t n, int8_t* out) {
  const Words d;
  const Floats df;
  const QuarterBytes dq;
  // |x gain| <= 128 * 127, so floor((x gain + 1/2) / divisor) in floats is exact (Divider).
  const auto reciprocal = hn::Set(df, 1.0f / static_cast<float>(NormDivisorOf(x, n)));
  for (size_t e = 0; e < n; e += hn::Lanes(d)) {
    const auto product =
        hn::Mul(hn::PromoteTo(d, hn::LoadU(dq, x + e)), hn::PromoteTo(d, hn::LoadU(dq, gain + e)));
    const auto half = hn::Add(hn::ConvertTo(df, product), hn::Set(df, 0.5f));
    const auto quotient = hn::ConvertTo(d, hn::Floor(hn::Mul(half, reciprocal)));
    hn::StoreU(hn::DemoteTo(dq, quotient), dq, out + e);
  }
  ClearTail(n, out);
}

HWY_INLINE auto LoadHalves(const int8_t* p) {
  return hn::PromoteTo(Halves(), hn::LoadU(HalfBytes(), p));
}
template <class V>
HWY_INLINE void StoreHalves(V v, int8_t* p) {
  hn::StoreU(hn::DemoteTo(HalfBytes(), v), HalfBytes(), p);
}

void GateSumImpl(const int8_t* from_x, const int8_t* from_state, const int8_t* bias, size_t n,
                 int8_t* out) {
  for (size_t e = 0; e < n; e += hn::Lanes(Halves())) {
    const auto sum = hn::Add(LoadHalves(from_x + e), LoadHalves(from_state + e));
    StoreHalves(hn::Add(sum, LoadHalves(bias + e)), out + e);
  }
  ClearTail(n, out);
}

void GatedStateImpl(const int8_t* f, const int8_t* h, size_t n, int8_t* out) {
  const auto one = hn::Set(Halves(), 128);
  for (size_t e = 0; e < n; e += hn::Lanes(Halves())) {
    // 255 * -128 fits in 16 bits.
    const auto product = hn::Mul(hn::Add(LoadHalves(f + e), one), LoadHalves(h + e));
    StoreHalves(hn::ShiftRight<8>(product), out + e);
  }
  ClearTail(n, out);
}

void NextStateImpl(const int8_t* f, const int8_t* c, size_t n, int8_t* h) {
  const auto one = hn::Set(Halves(), 128);
  for (size_t e = 0; e < n; e += hn::Lanes(Halves())) {
    const auto state = LoadHalves(h + e);
    const auto gate = hn::Add(LoadHalves(f + e), one);      // [0, 255]
    const auto change = hn::Sub(LoadHalves(c + e), state);  // [-255, 255]
    // gate * change needs 17 bits: the high half of (gate << 7) * (change << 1) is it >> 8.
    const auto step = hn::MulHigh(hn::ShiftLeft<7>(gate), hn::ShiftLeft<1>(change));
    StoreHalves(hn::Add(state, step), h + e);
  }
  ClearTail(n, h);
}

void ResidualImpl(const int8_t* x, const int8_t* r, size_t n, int8_t* out) {
  const Bytes d;
  for (size_t e = 0; e < n; e += hn::Lanes(d))
    hn::StoreU(hn::SaturatedAdd(hn::LoadU(d, x + e), hn::LoadU(d, r + e)), d, out + e);
  ClearTail(n, out);
}

void ExpandSignedValuesImpl(uint64_t mask, const int8_t* values, int8_t* out) {
  const Bytes d;
  uint8_t bits[16] = {};
  std::memcpy(bits, &mask, 8);
  for (size_t e = 0; e < 64; e += hn::Lanes(d)) {
    const auto v = hn::LoadU(d, values + e);
    hn::StoreU(hn::IfThenElse(hn::LoadMaskBits(d, bits + e / 8), hn::Neg(v), v), d, out + e);
  }
}

const char* TargetNameImpl() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace hatchery::vector_ops
HWY_AFTER_NAMESPACE();

#endif  // HATCHERY_VECTOR_OPS_INL_H_

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Highway compiles this file once for each instruction set and chooses at run time.
#include "cpu_fallback/vector_ops.h"

#include <bit>

// The order of these includes is what makes it work.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu_fallback/vector_ops.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "cpu_fallback/vector_ops-inl.h"
// clang-format on

#if HWY_ONCE
namespace hatchery::vector_ops {

HWY_EXPORT(SignDotImpl);
HWY_EXPORT(AddSignedImpl);
HWY_EXPORT(FinishImpl);
HWY_EXPORT(FinishSignedImpl);
HWY_EXPORT(NormImpl);
HWY_EXPORT(GateSumImpl);
HWY_EXPORT(GatedStateImpl);
HWY_EXPORT(NextStateImpl);
HWY_EXPORT(ResidualImpl);
HWY_EXPORT(ExpandSignedValuesImpl);
HWY_EXPORT(TargetNameImpl);

Divider::Divider(int32_t divisor)
    : limit(130 * divisor),
      shift(std::has_single_bit(static_cast<uint32_t>(divisor))
                ? std::countr_zero(static_cast<uint32_t>(divisor))
                : -1),
      reciprocal(1.0f / static_cast<float>(divisor)) {}

int32_t SignDot(const uint8_t* bits, int32_t negatives, const int8_t* x, size_t n) {
  return HWY_DYNAMIC_DISPATCH(SignDotImpl)(bits, negatives, x, n);
}
void AddSigned(const uint8_t* bits, int32_t delta, size_t n, int32_t* sums) {
  HWY_DYNAMIC_DISPATCH(AddSignedImpl)(bits, delta, n, sums);
}
void Finish(const int32_t* sums, const Divider& divider, size_t n, int8_t* out) {
  HWY_DYNAMIC_DISPATCH(FinishImpl)(sums, divider, n, out);
}
void FinishSigned(const int32_t* sums, const uint8_t* bits, int32_t delta, const Divider& divider,
                  size_t n, int8_t* out) {
  HWY_DYNAMIC_DISPATCH(FinishSignedImpl)(sums, bits, delta, divider, n, out);
}
void Norm(const int8_t* x, const int8_t* gain, size_t n, int8_t* out) {
  HWY_DYNAMIC_DISPATCH(NormImpl)(x, gain, n, out);
}
void GateSum(const int8_t* from_x, const int8_t* from_state, const int8_t* bias, size_t n,
             int8_t* out) {
  HWY_DYNAMIC_DISPATCH(GateSumImpl)(from_x, from_state, bias, n, out);
}
void GatedState(const int8_t* f, const int8_t* h, size_t n, int8_t* out) {
  HWY_DYNAMIC_DISPATCH(GatedStateImpl)(f, h, n, out);
}
void NextState(const int8_t* f, const int8_t* c, size_t n, int8_t* h) {
  HWY_DYNAMIC_DISPATCH(NextStateImpl)(f, c, n, h);
}
void Residual(const int8_t* x, const int8_t* r, size_t n, int8_t* out) {
  HWY_DYNAMIC_DISPATCH(ResidualImpl)(x, r, n, out);
}
void ExpandSignedValues(uint64_t mask, const int8_t* values, int8_t* out) {
  HWY_DYNAMIC_DISPATCH(ExpandSignedValuesImpl)(mask, values, out);
}
std::string TargetName() { return HWY_DYNAMIC_DISPATCH(TargetNameImpl)(); }

}  // namespace hatchery::vector_ops
#endif  // HWY_ONCE

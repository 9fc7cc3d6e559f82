// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/core/platform.h"

namespace hatchery::cuda {

// Division by a norm's divisor m in [1, 128]: floor(n / m) is the upper word of (256 n +
// kDivideRounding) times the reciprocal. Proved for every n and m by tests/gpu/division_test.cc.
inline constexpr int32_t kDivideRounding = 128;
HATCHERY_HD inline int32_t ReciprocalOf(int32_t m) { return ((1 << 24) + m - 1) / m; }
HATCHERY_HD inline int32_t Divide(int32_t rounded, int32_t reciprocal) {
#if defined(__CUDA_ARCH__)
  return __mulhi(rounded, reciprocal);
#else
  return static_cast<int32_t>(int64_t{rounded} * reciprocal >> 32);
#endif
}

}  // namespace hatchery::cuda

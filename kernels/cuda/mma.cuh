// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Matrix products of Ampere and later.
#pragma once

#include <cstdint>

namespace hatchery::cuda {

// c += a b for 16 x 32 by 32 x 8 int8. Thread 4 g + q of the warp holds of a, rows g and g + 8,
// bytes 4 q .. 4 q + 3 (a[0], a[1]) and 16 further (a[2], a[3]); of b the same bytes of column g;
// of c, columns 2 q and 2 q + 1 of row g (c[0], c[1]) and of row g + 8 (c[2], c[3]).
__device__ inline void MultiplyS8(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                  uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// An `a` of MultiplyS8 from shared memory; lane l gives the address of row l % 16, byte 16 (l /
// 16).
__device__ inline void LoadMatrix(uint32_t (&a)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
               : "r"(address)
               : "memory");
}

}  // namespace hatchery::cuda

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What differs between the compilers that share the integer contract: C++, CUDA and Metal.
// Everything in kernels/core is header-only, takes and returns values, allocates nothing, and uses
// nothing of the standard library beyond fixed-width integers.
#pragma once

#if defined(__METAL_VERSION__)
#include <metal_stdlib>
#define HATCHERY_HD
#define HATCHERY_TABLE constexpr constant const
#else
#include <cstdint>
#if defined(__CUDACC__)
#define HATCHERY_HD __host__ __device__
#else
#define HATCHERY_HD
#endif
#define HATCHERY_TABLE static constexpr
#endif

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What differs between the compilers that share the integer contract: C++, CUDA and Metal.
// Everything in kernels/core is header-only, takes and returns values, allocates nothing, and uses
// nothing of the standard library beyond fixed-width integers.
//
//   HATCHERY_HD        before a function that host and device call
//   HATCHERY_CONSTANT  before a constant of namespace scope
//   HATCHERY_TABLE     (type, name, size, values...): the function `type name(uint32_t index)`
#pragma once

#if defined(__METAL_VERSION__)
#include <metal_stdlib>
using namespace metal;
#define HATCHERY_HD
#define HATCHERY_CONSTANT constant constexpr
// Metal has no static variables in functions, CUDA no tables outside of them.
#define HATCHERY_TABLE(type, name, size, ...)                 \
  constant constexpr type name##Values[size] = {__VA_ARGS__}; \
  inline type name(uint32_t index) { return name##Values[index]; }
#else
#include <cstdint>
#if defined(__CUDACC__)
#define HATCHERY_HD __host__ __device__
#else
#define HATCHERY_HD
#endif
#define HATCHERY_CONSTANT inline constexpr
#define HATCHERY_TABLE(type, name, size, ...)           \
  HATCHERY_HD inline type name(uint32_t index) {        \
    static constexpr type kTable[size] = {__VA_ARGS__}; \
    return kTable[index];                               \
  }
#endif

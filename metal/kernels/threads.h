// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What every kernel is written with.
#pragma once

#include "metal/layout.h"

// HATCHERY_KERNEL: what every kernel begins with. Without the attribute a thread may be given so
// many registers that a GPU has none for kThreads of them, and could not run the kernel.
#define HATCHERY_KERNEL [[max_total_threads_per_threadgroup(hatchery::apple::kThreads)]] kernel void

// HATCHERY_THREAD: the last arguments of every kernel, its threadgroup memory and which thread it
// is. Before them come its buffers, numbered from 0, and one struct of values.
//
// Where the keyword itself is a macro, in tests, the attribute of the same name cannot be written.
#ifndef HATCHERY_SHARED
#define HATCHERY_SHARED [[threadgroup(0)]]
#endif

#define HATCHERY_THREAD                                                                    \
  threadgroup int8_t *shared HATCHERY_SHARED, uint group [[threadgroup_position_in_grid]], \
      uint thread_index [[thread_position_in_threadgroup]],                                \
      uint lane_index [[thread_index_in_simdgroup]],                                       \
      uint simdgroup_index [[simdgroup_index_in_threadgroup]]

// Before loops over what lies in registers, which cannot be indexed: without it the sums would live
// in memory.
#if defined(__clang__)
#define HATCHERY_UNROLL _Pragma("clang loop unroll(full)")
#else
#define HATCHERY_UNROLL
#endif

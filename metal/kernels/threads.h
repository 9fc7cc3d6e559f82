// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The last arguments of every kernel: its threadgroup memory and which thread it is. Before them
// come its buffers, numbered from 0, and one struct of values.
#pragma once

#include "metal/layout.h"

// Where the keyword itself is a macro, in tests, the attribute of the same name cannot be written.
#ifndef HATCHERY_SHARED
#define HATCHERY_SHARED [[threadgroup(0)]]
#endif

#define HATCHERY_THREAD                                                                    \
  threadgroup int8_t *shared HATCHERY_SHARED, uint group [[threadgroup_position_in_grid]], \
      uint thread_index [[thread_position_in_threadgroup]],                                \
      uint lane_index [[thread_index_in_simdgroup]],                                       \
      uint simdgroup_index [[simdgroup_index_in_threadgroup]]

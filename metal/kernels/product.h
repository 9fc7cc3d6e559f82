// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Products of int8 matrices on the simdgroup matrix units, in float32, where sums of up to
// kExactColumns products are whole numbers below 2^24 and so exact in any order. Half precision
// would be faster to load but is nowhere promised to accumulate exactly.
#pragma once

#include "metal/kernels/threads.h"

namespace hatchery::apple {

// The two elements of an 8 x 8 simdgroup matrix that a lane holds. Which ones they are is not
// documented, so the hardware is asked.
struct Lane {
  uint32_t row[2], column[2];

  // Whose sum a lane's sum `n` of a tile is.
  uint32_t Member(uint32_t n) const { return 8 * (n / 8) + row[n % 2]; }
  uint32_t Output(uint32_t n) const { return 8 * (n / 2 % 4) + column[n % 2]; }
};

// `places` has 64 floats; all threads of the threadgroup call this together.
inline Lane FindLane(threadgroup float* places, uint32_t thread_index) {
  if (thread_index < 64) places[thread_index] = static_cast<float>(thread_index);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  simdgroup_float8x8 matrix;
  simdgroup_load(matrix, places, 8);
  const uint32_t first = static_cast<uint32_t>(matrix.thread_elements()[0]);
  const uint32_t second = static_cast<uint32_t>(matrix.thread_elements()[1]);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  return Lane{{first / 8, second / 8}, {first % 8, second % 8}};
}

// Byte `index` of `word`, as a float.
inline float ByteOf(uint32_t word, uint32_t index) {
  return static_cast<float>(static_cast<int32_t>(word << (24 - 8 * index)) >> 24);
}

// A lane's sums of kTile members x kTile outputs: two of each of 4 x 4 matrices.
HATCHERY_CONSTANT uint32_t kLaneSums = 32;
struct Sums {
  int32_t at[kLaneSums];
};

template <uint32_t kWords>
struct WordRun {
  uint32_t word[kWords];
};

// x w^T for kTile members and kTile outputs. `w`: kTile rows of `columns` weights; `x`: kTile rows
// of activations, `stride` words each. A sum may be taken in any order, so that a lane reads kWords
// words at a time: term 4 kWords c + t of a run of columns goes to place c of matrix t. `columns`
// is a multiple of 32 kWords.
template <uint32_t kWords, typename Activations>
inline Sums MultiplyTile(device const int8_t* w, uint32_t columns, Activations x, uint32_t stride,
                         Lane lane) {
  Sums sums{};
  for (uint32_t chunk = 0; chunk < columns; chunk += kExactColumns) {
    const uint32_t end = columns - chunk < kExactColumns ? columns : chunk + kExactColumns;
    simdgroup_float8x8 total[16];  // of members 8 (n / 4).., outputs 8 (n % 4)..
    HATCHERY_UNROLL
    for (uint32_t n = 0; n < 16; ++n) total[n] = simdgroup_float8x8(0.0f);
    for (uint32_t column = chunk; column < end; column += 32 * kWords) {
      WordRun<kWords> weights[8];  // of outputs 8 (n / 2).., a lane's element n % 2
      HATCHERY_UNROLL
      for (uint32_t n = 0; n < 8; ++n)
        weights[n] = *reinterpret_cast<device const WordRun<kWords>*>(
            w + (8 * (n / 2) + lane.column[n % 2]) * columns + column +
            lane.row[n % 2] * 4 * kWords);
      HATCHERY_UNROLL
      for (uint32_t word = 0; word < kWords; ++word) {
        uint32_t values[8];  // the same of members
        HATCHERY_UNROLL
        for (uint32_t n = 0; n < 8; ++n)
          values[n] = x[(8 * (n / 2) + lane.row[n % 2]) * stride + column / 4 +
                        lane.column[n % 2] * kWords + word];
        HATCHERY_UNROLL
        for (uint32_t byte = 0; byte < 4; ++byte) {
          simdgroup_float8x8 left[4], right[4];
          HATCHERY_UNROLL
          for (uint32_t n = 0; n < 8; ++n) {
            left[n / 2].thread_elements()[n % 2] = ByteOf(values[n], byte);
            right[n / 2].thread_elements()[n % 2] = ByteOf(weights[n].word[word], byte);
          }
          HATCHERY_UNROLL
          for (uint32_t n = 0; n < 16; ++n)
            simdgroup_multiply_accumulate(total[n], left[n / 4], right[n % 4], total[n]);
        }
      }
    }
    HATCHERY_UNROLL
    for (uint32_t n = 0; n < kLaneSums; ++n)
      sums.at[n] += static_cast<int32_t>(total[n / 2].thread_elements()[n % 2]);
  }
  return sums;
}

template <typename Activations>
inline Sums Multiply(device const int8_t* w, uint32_t columns, Activations x, uint32_t stride,
                     Lane lane) {
  return columns % 128 == 0 ? MultiplyTile<4, Activations>(w, columns, x, stride, lane)
                            : MultiplyTile<1, Activations>(w, columns, x, stride, lane);
}

}  // namespace hatchery::apple

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Products of int8 matrices on the simdgroup matrix units, in float32, where sums of up to
// kExactColumns products are whole numbers below 2^24 and so exact in any order. Half precision
// would be faster to load but is nowhere promised to accumulate exactly.
#pragma once

#include "metal/layout.h"

namespace hatchery::apple {

// The two elements of an 8 x 8 simdgroup matrix that a lane holds. Which ones they are is not
// documented, so the hardware is asked.
struct Lane {
  uint32_t row[2], column[2];
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

// A lane's part of kTile members x kTile outputs: element i of the matrix of members 8 m.. and
// outputs 8 o.. at [m][o][i].
struct Sums {
  int32_t at[4][4][2];
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
    simdgroup_float8x8 total[4][4];
    for (uint32_t m = 0; m < 4; ++m)
      for (uint32_t o = 0; o < 4; ++o) total[m][o] = simdgroup_float8x8(0.0f);
    for (uint32_t column = chunk; column < end; column += 32 * kWords) {
      WordRun<kWords> weights[4][2];
      for (uint32_t o = 0; o < 4; ++o)
        for (uint32_t i = 0; i < 2; ++i)
          weights[o][i] = *reinterpret_cast<device const WordRun<kWords>*>(
              w + (8 * o + lane.column[i]) * columns + column + lane.row[i] * 4 * kWords);
      for (uint32_t word = 0; word < kWords; ++word) {
        uint32_t values[4][2];
        for (uint32_t m = 0; m < 4; ++m)
          for (uint32_t i = 0; i < 2; ++i)
            values[m][i] =
                x[(8 * m + lane.row[i]) * stride + column / 4 + lane.column[i] * kWords + word];
        for (uint32_t byte = 0; byte < 4; ++byte) {
          simdgroup_float8x8 left[4], right[4];
          for (uint32_t n = 0; n < 4; ++n) {
            for (uint32_t i = 0; i < 2; ++i) {
              left[n].thread_elements()[i] = ByteOf(values[n][i], byte);
              right[n].thread_elements()[i] = ByteOf(weights[n][i].word[word], byte);
            }
          }
          for (uint32_t m = 0; m < 4; ++m)
            for (uint32_t o = 0; o < 4; ++o)
              simdgroup_multiply_accumulate(total[m][o], left[m], right[o], total[m][o]);
        }
      }
    }
    for (uint32_t m = 0; m < 4; ++m)
      for (uint32_t o = 0; o < 4; ++o)
        for (uint32_t i = 0; i < 2; ++i)
          sums.at[m][o][i] += static_cast<int32_t>(total[m][o].thread_elements()[i]);
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

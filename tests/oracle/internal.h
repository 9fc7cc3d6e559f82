// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Shared by the oracle's own sources.
#pragma once

#include <vector>

#include "tests/oracle/oracle.h"

namespace oracle {

enum class Kind { kMatrix, kEmbedding, kGain, kBias };

struct Tensor {
  Kind kind;
  uint32_t rows, columns;
  uint64_t offset;
};

// Tensors in contract order; the index is the id. Layer l starts at id 1 + 10 l.
std::vector<Tensor> Layout(const Job& job);

// Noise value of element `element` of row `row` of one rank column of a factor. Vectors and rows of
// the embedding use factor 0, rank 0.
int Noise(const Job& job, uint32_t step, uint32_t pair, uint32_t tensor, uint32_t factor,
          uint32_t rank, uint32_t row, uint32_t row_elements, uint32_t element);

// floor(a / b), b > 0.
int64_t Floor(int64_t a, int64_t b);

int Clamp(int64_t v, int low, int high);

}  // namespace oracle

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A model in the kernels' terms (layout.h): its shape, its noise, its weights with padding, and the
// tiles of an update.
#pragma once

#include <span>
#include <vector>

#include "kernels/job_spec.h"
#include "kernels/model.h"
#include "metal/layout.h"

namespace hatchery::apple {

Shape ShapeOf(const JobSpec& spec);

// The noise of a pair, shape.Noise() / 16 units in the order of its bytes.
std::vector<NoiseUnit> NoiseUnitsOf(const Shape& shape);

// Whether a replica's own layout is what the kernels read.
inline bool NeedsNoPadding(const Shape& shape) { return shape.padded == shape.hidden; }
// Copies a replica's weights to their padded places in `out`, shape.Weights() bytes whose padding
// is zero already.
void PadWeights(const Model& model, const Shape& shape, std::span<const int8_t> weights,
                std::span<int8_t> out);

// Tiles of the rows of the tensors that overlap bytes [begin, end) of the replica: of the matrices,
// or of all others.
std::vector<UpdateTile> UpdateTilesOf(const Model& model, bool matrices, uint64_t begin,
                                      uint64_t end);

}  // namespace hatchery::apple

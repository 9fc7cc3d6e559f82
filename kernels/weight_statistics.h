// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What can be said of a replica's weights without running the model: which part of them is
// saturated, which has changed. For people; nothing of a run's bytes depends on it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/model.h"

namespace hatchery {

// A part of the model that a figure is given for: a tensor, a layer, the embedding, the head (with
// the norm before it).
struct ModelPart {
  std::string name;     // "embedding", "layers.0", "head"; of a tensor, its own
  uint64_t begin, end;  // bytes within a replica, padding included (it is always 0)
  uint64_t parameters;  // weights, padding excluded
};

// The embedding, each layer and the head, in the order of the contract; together the whole model.
std::vector<ModelPart> LayersOf(const Model& model);
// Each tensor.
std::vector<ModelPart> TensorsOf(const Model& model);

// Saturated weights of `weights`: those at -127 or 127, where an update's step outward is clipped.
uint64_t CountSaturated(std::span<const int8_t> weights);
// Places at which the two, of equal size, differ.
uint64_t CountChanged(std::span<const int8_t> before, std::span<const int8_t> after);

// The share of the part's weights that is saturated, or that differs, in [0, 1]. The spans are
// whole replicas.
double Saturation(const ModelPart& part, std::span<const int8_t> weights);
double ShareChanged(const ModelPart& part, std::span<const int8_t> before,
                    std::span<const int8_t> after);

}  // namespace hatchery

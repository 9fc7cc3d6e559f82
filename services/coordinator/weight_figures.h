// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a stored checkpoint tells about the weights, part by part: for people who watch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "services/common/checkpoint.h"

namespace hatchery::coordinator {

struct WeightFigures {
  struct Part {
    std::string name;                // "embedding", "layers.0", ..., "head"
    double saturated = 0;            // share of its weights at -127 or 127, [0, 1]
    std::optional<double> replaced;  // share that differs from the checkpoint before, [0, 1]
  };
  uint32_t step = 0;
  uint32_t steps_since = 0;  // the checkpoint before; 0: there is none
  std::vector<Part> parts;   // the first kMostParts
};
// Bounds what is shown of very deep models.
inline constexpr size_t kMostParts = 66;

// `before`: an older checkpoint of the same job, or null.
StatusOr<WeightFigures> FiguresOf(const Checkpoint& checkpoint, const Checkpoint* before);

}  // namespace hatchery::coordinator

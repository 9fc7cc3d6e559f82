// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cpu_fallback/product.h"
#include "kernels/commit.h"
#include "kernels/model.h"

namespace hatchery {

// Rows [begin, end) of one tensor: the unit of parallel work of an update.
struct UpdateTile {
  uint32_t tensor;
  uint32_t begin, end;
};

// The tiles that cover bytes [offset, offset + size) of the replica, in order.
std::vector<UpdateTile> TilesOf(const Model& model, uint64_t offset, uint64_t size);

// One commit, decoded once for all tiles. Immutable; shared by threads.
class UpdateStep {
 public:
  // `commit` must have passed CheckFitness.
  UpdateStep(const Model& model, const JobSpec& spec, const Commit& commit);

  // The new weights of a tile: rows * columns bytes into `out`. `weights`: the whole replica.
  void Compute(const UpdateTile& tile, std::span<const int8_t> weights, Product* product,
               int8_t* out) const;

 private:
  void SumMatrix(const UpdateTile& tile, Product* product, std::vector<int64_t>& sums) const;
  void SumElements(const UpdateTile& tile, std::vector<int64_t>& sums) const;

  const Model& model_;
  const JobSpec& spec_;
  uint32_t noise_step_;
  Thresholds thresholds_;
  // Pairs that count, padded with fitness zero to a multiple of 64.
  std::vector<uint32_t> pairs_;
  std::vector<int8_t> fitness_;
};

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "metal/plan.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/egg.h"

namespace hatchery::apple {
namespace {

// Where a tensor begins among the padded weights, and the bytes of its rows there.
struct Padded {
  uint64_t at;
  uint32_t columns;
};

Padded PaddedTensor(const Shape& shape, const Tensor& tensor) {
  const uint32_t columns = PaddedTo(tensor.columns, kTile);
  if (tensor.id == 0) return {0, columns};
  const uint32_t layer = (tensor.id - 1) / kPlaces, place = (tensor.id - 1) % kPlaces;
  if (layer < shape.layers) return {shape.WeightsOf(layer, static_cast<Place>(place)), columns};
  return {place == 0 ? shape.NormOutWeights() : shape.HeadWeights(), columns};
}

// Appends the units of one noise row of `elements`, padded.
void AppendRow(uint32_t tensor, core::Factor factor, uint32_t rank, uint32_t elements,
               std::vector<NoiseUnit>& units) {
  for (uint32_t e = 0; e < PaddedTo(elements, kTile); e += 16)
    units.push_back({tensor, static_cast<uint32_t>(factor), rank, e,
                     e < elements ? std::min(16u, elements - e) : 0});
}

void AppendMatrix(uint32_t tensor, uint32_t ranks, uint32_t rows, uint32_t columns,
                  std::vector<NoiseUnit>& units) {
  for (uint32_t r = 0; r < ranks; ++r) AppendRow(tensor, core::Factor::kA, r, rows, units);
  for (uint32_t r = 0; r < ranks; ++r) AppendRow(tensor, core::Factor::kB, r, columns, units);
}

}  // namespace

Shape ShapeOf(const JobSpec& spec) {
  Shape shape{};
  shape.hidden = spec.hidden;
  shape.wide = core::kMlpExpansion * spec.hidden;
  shape.padded = PaddedTo(shape.hidden, kTile);
  shape.padded_wide = PaddedTo(shape.wide, kTile);
  shape.layers = spec.layers;
  shape.rank = spec.rank;
  shape.sigma_shift = spec.sigma_shift;
  shape.gaussian = spec.noise == core::Noise::kGaussian;
  shape.matmul_divisor = static_cast<uint32_t>(core::MatmulDivisor(shape.hidden));
  shape.wide_divisor = static_cast<uint32_t>(core::MatmulDivisor(shape.wide));
  return shape;
}

std::vector<NoiseUnit> NoiseUnitsOf(const Shape& shape) {
  std::vector<NoiseUnit> units;
  const uint32_t d = shape.hidden;
  for (uint32_t l = 0; l < shape.layers; ++l) {
    for (const Place place : {kNorm1, kWf, kUf, kBf, kWh, kUh, kBh, kNorm2, kW1, kW2}) {
      const uint32_t id = TensorId(l, place);
      if (place == kNorm1 || place == kBf || place == kBh || place == kNorm2)
        AppendRow(id, core::Factor::kA, 0, d, units);
      else
        AppendMatrix(id, shape.rank, place == kW1 ? shape.wide : d, place == kW2 ? shape.wide : d,
                     units);
    }
  }
  AppendRow(TensorId(shape.layers, kNorm1), core::Factor::kA, 0, d, units);
  AppendMatrix(TensorId(shape.layers, kNorm1) + 1, shape.rank, core::kVocabulary, d, units);
  return units;
}

void PadWeights(const Model& model, const Shape& shape, std::span<const int8_t> weights,
                std::span<int8_t> out) {
  for (const Tensor& tensor : model.tensors()) {
    const Padded padded = PaddedTensor(shape, tensor);
    for (uint32_t row = 0; row < tensor.rows; ++row)
      std::memcpy(out.data() + padded.at + uint64_t{row} * padded.columns,
                  weights.data() + tensor.offset + uint64_t{row} * tensor.columns, tensor.columns);
  }
}

std::vector<UpdateTile> UpdateTilesOf(const Model& model, bool matrices, uint64_t begin,
                                      uint64_t end) {
  std::vector<UpdateTile> tiles;
  const uint32_t height = matrices ? kUpdateTile : 1, width = matrices ? kUpdateTile : kElementTile;
  for (const Tensor& t : model.tensors()) {
    if ((t.kind == TensorKind::kMatrix) != matrices) continue;
    for (uint32_t row = 0; row < t.rows; row += height) {
      const uint64_t first = t.offset + uint64_t{row} * t.columns;
      const uint64_t last = first + uint64_t{height} * t.columns;
      if (last <= begin || first >= end) continue;
      for (uint32_t column = 0; column < t.columns; column += width)
        tiles.push_back({t.offset, t.id, t.rows, t.columns, row, column, 0});
    }
  }
  return tiles;
}

}  // namespace hatchery::apple

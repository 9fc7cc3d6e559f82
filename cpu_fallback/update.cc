// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Z = sum_p f_p A_p B_p^T as an int8 product whose inner dimension is the pairs. Noise comes a pair
// at a time but the product wants a pair a column, so 64 pairs' bits are transposed at once.
#include "cpu_fallback/update.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "cpu_fallback/noise_batch.h"
#include "cpu_fallback/vector_ops.h"
#include "kernels/core/update.h"

namespace hatchery {
namespace {

constexpr uint32_t kBlockPairs = 64;
// Pairs summed in one product: X is 256 KB of a 256-row tile, and the sums stay in 32 bits.
constexpr uint32_t kChunkPairs = 1024;
constexpr uint32_t kMatrixTileRows = 256;  // a multiple of the 128 elements of a noise block
constexpr uint32_t kElementTileRows = 16;

// Bit (r, c) of `m` becomes bit (c, r). After Warren, "Hacker's Delight", 7-3.
void Transpose(uint64_t m[64]) {
  uint64_t mask = 0x00000000FFFFFFFFu;
  for (uint32_t j = 32; j != 0; j >>= 1, mask ^= mask << j)
    for (uint32_t k = 0; k < 64; k = (k + j + 1) & ~j) {
      const uint64_t t = ((m[k] >> j) ^ m[k + j]) & mask;
      m[k] ^= t << j;
      m[k + j] ^= t;
    }
}

// Noise rows of 64 pairs, read by element: the sign masks (Rademacher) or values (Gaussian).
class NoiseColumns {
 public:
  NoiseColumns(const JobSpec& spec, uint32_t noise_step, uint32_t tensor, core::Factor factor,
               uint32_t rank)
      : spec_(spec), noise_step_(noise_step), tensor_(tensor), factor_(factor), rank_(rank) {}

  // Draws `elements` elements of the row that starts at `block`, for each of 64 pairs.
  void Draw(const uint32_t* pairs, uint32_t block, uint32_t elements) {
    row_bytes_ = NoiseRowBytes(spec_.noise, elements);
    rows_.resize(kBlockPairs * row_bytes_);
    for (uint32_t i = 0; i < kBlockPairs; ++i)
      DrawNoiseRow(spec_, noise_step_, pairs[i], tensor_, factor_, rank_, block, elements,
                   rows_.data() + i * row_bytes_);
    if (spec_.noise == core::Noise::kRademacher) TransposeBits();
  }

  // Bit i: the sign of element e for pair i.
  uint64_t Mask(uint32_t e) const { return masks_[e]; }
  int8_t Value(uint32_t e, uint32_t i) const {
    return static_cast<int8_t>(rows_[i * row_bytes_ + e]);
  }

 private:
  void TransposeBits() {
    masks_.resize(row_bytes_ * 8);
    for (size_t word = 0; word < row_bytes_ / 8; ++word) {
      uint64_t* square = masks_.data() + word * 64;
      for (uint32_t i = 0; i < kBlockPairs; ++i)
        std::memcpy(square + i, rows_.data() + i * row_bytes_ + word * 8, 8);
      Transpose(square);
    }
  }

  const JobSpec& spec_;
  uint32_t noise_step_, tensor_;
  core::Factor factor_;
  uint32_t rank_;
  size_t row_bytes_ = 0;
  std::vector<uint8_t> rows_;
  std::vector<uint64_t> masks_;
};

// The fitness in digits that leave room for Gaussian noise in a byte: digit j is the sign times bit
// j of |f|, worth 2^j. Rademacher noise needs none of it.
struct Digit {
  uint32_t place;
  std::vector<int8_t> values;
};

std::vector<Digit> Digits(core::Noise noise, const std::vector<int8_t>& fitness) {
  if (noise == core::Noise::kRademacher) return {{0, fitness}};
  std::vector<Digit> digits;
  for (uint32_t place = 0; place < 7; ++place) {
    Digit digit{place, std::vector<int8_t>(fitness.size(), 0)};
    bool used = false;
    for (size_t i = 0; i < fitness.size(); ++i) {
      if ((std::abs(fitness[i]) >> place & 1) == 0) continue;
      digit.values[i] = fitness[i] < 0 ? -1 : 1;
      used = true;
    }
    if (used) digits.push_back(std::move(digit));
  }
  return digits;
}

// Writes 64 columns, from `column` on, of `elements` rows of `stride` bytes: noise times value.
void FillColumns(const NoiseColumns& noise, core::Noise kind, uint32_t elements,
                 const int8_t* values, size_t stride, int8_t* out) {
  for (uint32_t e = 0; e < elements; ++e, out += stride) {
    if (kind == core::Noise::kRademacher) {
      vector_ops::ExpandSignedValues(noise.Mask(e), values, out);
      continue;
    }
    for (uint32_t i = 0; i < kBlockPairs; ++i)
      out[i] = static_cast<int8_t>(noise.Value(e, i) * values[i]);
  }
}

}  // namespace

std::vector<UpdateTile> TilesOf(const Model& model, uint64_t offset, uint64_t size) {
  std::vector<UpdateTile> tiles;
  for (const Tensor& t : model.tensors()) {
    const uint32_t step = t.kind == TensorKind::kMatrix ? kMatrixTileRows : kElementTileRows;
    for (uint32_t begin = 0; begin < t.rows; begin += step) {
      const uint32_t end = std::min(t.rows, begin + step);
      const uint64_t first = t.offset + uint64_t{begin} * t.columns;
      const uint64_t last = t.offset + uint64_t{end} * t.columns;
      if (first < offset + size && last > offset) tiles.push_back({t.id, begin, end});
    }
  }
  return tiles;
}

UpdateStep::UpdateStep(const Model& model, const JobSpec& spec, const Commit& commit)
    : model_(model), spec_(spec), noise_step_(core::NoiseStep(commit.step, spec.noise_reuse)) {
  const std::vector<int8_t> fitness = DecodeFitness(commit.encoding, commit.fitness, spec.pairs());
  thresholds_ = ComputeThresholds(spec, commit, fitness);
  for (uint32_t p = 0; p < fitness.size(); ++p) {
    if (fitness[p] == 0) continue;
    pairs_.push_back(p);
    fitness_.push_back(fitness[p]);
  }
  const size_t padded = (pairs_.size() + kBlockPairs - 1) / kBlockPairs * kBlockPairs;
  pairs_.resize(padded, 0);
  fitness_.resize(padded, 0);
}

void UpdateStep::Compute(const UpdateTile& tile, std::span<const int8_t> weights, Product* product,
                         int8_t* out) const {
  const Tensor& t = model_.tensor(tile.tensor);
  const size_t elements = size_t{tile.end - tile.begin} * t.columns;
  std::vector<int64_t> sums(elements, 0);
  const bool matrix = t.kind == TensorKind::kMatrix;
  if (matrix)
    SumMatrix(tile, product, sums);
  else
    SumElements(tile, sums);
  const uint64_t threshold = matrix ? thresholds_.matrix : thresholds_.element;
  const int8_t* old = weights.data() + t.offset + size_t{tile.begin} * t.columns;
  for (size_t e = 0; e < elements; ++e)
    out[e] = static_cast<int8_t>(core::UpdatedWeight(old[e], sums[e], threshold));
}

void UpdateStep::SumMatrix(const UpdateTile& tile, Product* product,
                           std::vector<int64_t>& sums) const {
  const Tensor& t = model_.tensor(tile.tensor);
  const uint32_t rows = tile.end - tile.begin;
  const uint32_t first_block = tile.begin / core::ElementsPerBlock(spec_.noise);
  const std::vector<int8_t> ones(kBlockPairs, 1);
  const std::vector<Digit> digits = Digits(spec_.noise, fitness_);
  std::vector<int8_t> a(size_t{rows} * kChunkPairs), b(size_t{t.columns} * kChunkPairs);
  std::vector<int32_t> partial(rows * Padded(t.columns));

  for (uint32_t rank = 0; rank < spec_.rank; ++rank) {
    NoiseColumns noise_a(spec_, noise_step_, t.id, core::Factor::kA, rank);
    NoiseColumns noise_b(spec_, noise_step_, t.id, core::Factor::kB, rank);
    for (size_t k = 0; k < pairs_.size(); k += kChunkPairs) {
      const size_t count = std::min<size_t>(kChunkPairs, pairs_.size() - k);
      for (size_t i = 0; i < count; i += kBlockPairs) {
        noise_b.Draw(pairs_.data() + k + i, 0, t.columns);
        FillColumns(noise_b, spec_.noise, t.columns, ones.data(), count, b.data() + i);
      }
      const auto packed = product->Pack(b.data(), t.columns, count);
      for (const Digit& digit : digits) {
        for (size_t i = 0; i < count; i += kBlockPairs) {
          noise_a.Draw(pairs_.data() + k + i, first_block, rows);
          FillColumns(noise_a, spec_.noise, rows, digit.values.data() + k + i, count, a.data() + i);
        }
        product->Multiply(*packed, a.data(), rows, partial.data());
        for (uint32_t o = 0; o < rows; ++o)
          for (uint32_t c = 0; c < t.columns; ++c)
            sums[size_t{o} * t.columns + c] +=
                int64_t{partial[o * Padded(t.columns) + c]} * (1 << digit.place);
      }
    }
  }
}

void UpdateStep::SumElements(const UpdateTile& tile, std::vector<int64_t>& sums) const {
  const Tensor& t = model_.tensor(tile.tensor);
  const uint32_t blocks_per_row = core::BlocksPerRow(spec_.noise, t.columns);
  NoiseColumns noise(spec_, noise_step_, t.id, core::Factor::kA, 0);
  for (uint32_t row = tile.begin; row < tile.end; ++row) {
    int64_t* row_sums = sums.data() + size_t{row - tile.begin} * t.columns;
    for (size_t k = 0; k < pairs_.size(); k += kBlockPairs) {
      noise.Draw(pairs_.data() + k, row * blocks_per_row, t.columns);
      for (uint32_t e = 0; e < t.columns; ++e) {
        if (spec_.noise == core::Noise::kRademacher) {
          const uint64_t mask = noise.Mask(e);
          row_sums[e] += vector_ops::SignDot(reinterpret_cast<const uint8_t*>(&mask),
                                             std::popcount(mask), fitness_.data() + k, 64);
          continue;
        }
        for (uint32_t i = 0; i < kBlockPairs; ++i)
          row_sums[e] += fitness_[k + i] * noise.Value(e, i);
      }
    }
  }
}

}  // namespace hatchery

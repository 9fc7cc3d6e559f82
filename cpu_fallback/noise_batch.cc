// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "cpu_fallback/noise_batch.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "cpu_fallback/product.h"
#include "kernels/core/arithmetic.h"
#include "kernels/core/noise.h"

namespace hatchery {
namespace {

// Vector code may read whole vectors of mask bits past the last row.
constexpr size_t kSlack = 64;

int32_t CountBits(const uint8_t* row, size_t bytes) {
  int32_t count = 0;
  for (size_t i = 0; i < bytes; i += 8) {
    uint64_t word;
    std::memcpy(&word, row + i, 8);
    count += std::popcount(word);
  }
  return count;
}

void ClearBitsFrom(uint32_t n, size_t bytes, uint8_t* row) {
  if (n / 8 < bytes && n % 8 != 0) row[n / 8] &= static_cast<uint8_t>((1u << (n % 8)) - 1);
  const size_t first = (n + 7) / 8;
  if (first < bytes) std::memset(row + first, 0, bytes - first);
}

}  // namespace

void DrawNoiseRow(const JobSpec& spec, uint32_t noise_step, uint32_t pair, uint32_t tensor,
                  core::Factor factor, uint32_t rank, uint32_t block, uint32_t elements,
                  uint8_t* out) {
  const uint32_t blocks = core::BlocksPerRow(spec.noise, elements);
  for (uint32_t b = 0; b < blocks; ++b) {
    const core::Word4 words =
        core::NoiseBlock(spec.seed, noise_step, pair, tensor, factor, rank, block + b);
    std::memcpy(out + 16 * b, &words, 16);
  }
  if (spec.noise == core::Noise::kRademacher) {
    ClearBitsFrom(elements, size_t{blocks} * 16, out);
    return;
  }
  for (uint32_t e = 0; e < blocks * 16; ++e)
    out[e] = e < elements ? static_cast<uint8_t>(core::NormalTable(out[e])) : 0;
}

NoiseBatch::NoiseBatch(const Model& model, const JobSpec& spec) : model_(model), spec_(spec) {
  for (const Tensor& t : model.tensors()) {
    row_offset_.push_back(pair_bytes_);
    count_offset_.push_back(pair_counts_);
    vector_offset_.push_back(member_bytes_);
    if (t.kind == TensorKind::kMatrix) {
      pair_bytes_ +=
          spec.rank * (NoiseRowBytes(spec.noise, t.rows) + NoiseRowBytes(spec.noise, t.columns));
      pair_counts_ += spec.rank;
    } else if (t.kind != TensorKind::kEmbedding) {
      member_bytes_ += Padded(t.columns);
    }
  }
}

void NoiseBatch::Draw(uint32_t step, uint32_t first, uint32_t pairs,
                      std::span<const int8_t> weights) {
  first_ = first;
  noise_step_ = core::NoiseStep(step, spec_.noise_reuse);
  rows_.resize(pairs * pair_bytes_ + kSlack);
  negatives_.resize(pairs * pair_counts_);
  vectors_.assign(2 * pairs * member_bytes_, 0);
  for (uint32_t i = 0; i < pairs; ++i) {
    for (const Tensor& t : model_.tensors()) {
      if (t.kind == TensorKind::kEmbedding) continue;
      if (t.kind == TensorKind::kMatrix) {
        for (uint32_t r = 0; r < spec_.rank; ++r) {
          for (core::Factor factor : {core::Factor::kA, core::Factor::kB}) {
            const uint32_t n = factor == core::Factor::kA ? t.rows : t.columns;
            auto* row = const_cast<uint8_t*>(Row(i, t.id, factor, r));
            DrawNoiseRow(spec_, noise_step_, first + i, t.id, factor, r, 0, n, row);
          }
          if (spec_.noise == core::Noise::kRademacher)
            negatives_[i * pair_counts_ + count_offset_[t.id] + r] =
                CountBits(Row(i, t.id, core::Factor::kB, r), NoiseRowBytes(spec_.noise, t.columns));
        }
        continue;
      }
      std::vector<uint8_t> noise(NoiseRowBytes(spec_.noise, t.columns));
      DrawNoiseRow(spec_, noise_step_, first + i, t.id, core::Factor::kA, 0, 0, t.columns,
                   noise.data());
      Perturb(noise.data(), weights.data() + t.offset, t.columns,
              const_cast<int8_t*>(Vector(2 * i, t.id)),
              const_cast<int8_t*>(Vector(2 * i + 1, t.id)));
    }
  }
}

const uint8_t* NoiseBatch::Row(uint32_t i, uint32_t tensor, core::Factor factor,
                               uint32_t rank) const {
  const Tensor& t = model_.tensor(tensor);
  const size_t a = NoiseRowBytes(spec_.noise, t.rows);
  const size_t b = NoiseRowBytes(spec_.noise, t.columns);
  const size_t within = factor == core::Factor::kA ? rank * a : spec_.rank * a + rank * b;
  return rows_.data() + i * pair_bytes_ + row_offset_[tensor] + within;
}

int32_t NoiseBatch::Negatives(uint32_t i, uint32_t tensor, uint32_t rank) const {
  return negatives_[i * pair_counts_ + count_offset_[tensor] + rank];
}

const int8_t* NoiseBatch::Vector(uint32_t m, uint32_t tensor) const {
  return vectors_.data() + m * member_bytes_ + vector_offset_[tensor];
}

void NoiseBatch::Embedding(uint32_t i, uint32_t token, std::span<const int8_t> weights,
                           int8_t* plus, int8_t* minus) const {
  const Tensor& t = model_.embedding();
  uint8_t noise[8192];  // the widest row: 8192 Gaussian bytes
  DrawNoiseRow(spec_, noise_step_, first_ + i, t.id, core::Factor::kA, 0,
               token * core::BlocksPerRow(spec_.noise, t.columns), t.columns, noise);
  Perturb(noise, weights.data() + t.offset + uint64_t{token} * t.columns, t.columns, plus, minus);
}

void NoiseBatch::Perturb(const uint8_t* noise_row, const int8_t* weights, uint32_t n, int8_t* plus,
                         int8_t* minus) const {
  const bool bits = spec_.noise == core::Noise::kRademacher;
  for (uint32_t e = 0; e < n; ++e) {
    const int32_t value =
        bits ? 1 - 2 * (noise_row[e / 8] >> (e % 8) & 1) : static_cast<int8_t>(noise_row[e]);
    plus[e] = static_cast<int8_t>(core::ClipWeight(
        weights[e] + core::ElementPerturbation(spec_.noise, spec_.sigma_shift, 1, value)));
    minus[e] = static_cast<int8_t>(core::ClipWeight(
        weights[e] + core::ElementPerturbation(spec_.noise, spec_.sigma_shift, -1, value)));
  }
}

}  // namespace hatchery

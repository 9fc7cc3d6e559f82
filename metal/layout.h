// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What the host and the Metal kernels agree on: arguments, and where things lie in buffers. C++ and
// Metal compile it alike, so all members have a fixed width.
#pragma once

#include "kernels/core/noise.h"
#include "kernels/core/platform.h"

namespace hatchery::apple {

// Threads of a threadgroup, in every kernel.
HATCHERY_CONSTANT uint32_t kThreads = 256;
HATCHERY_CONSTANT uint32_t kSimdgroups = kThreads / 32;

// Members that a threadgroup of an evaluation carries; rows and columns of the matrices are padded
// with zeros to a multiple of as many.
HATCHERY_CONSTANT uint32_t kTile = 32;
HATCHERY_HD constexpr uint32_t PaddedTo(uint32_t n, uint32_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Columns whose products with int8 activations a float adds up exactly: 128 * 127 * 1024 < 2^24.
// Longer sums are cut.
HATCHERY_CONSTANT uint32_t kExactColumns = 1024;
static_assert(128 * 127 * kExactColumns < (1u << 24), "a float counts to 2^24");

// Tensors of a layer, in contract order.
enum Place : uint32_t { kNorm1, kWf, kUf, kBf, kWh, kUh, kBh, kNorm2, kW1, kW2, kPlaces };

HATCHERY_HD constexpr uint32_t TensorId(uint32_t layer, Place place) {
  return 1 + kPlaces * layer + place;
}

// The padded model. Weights lie as in a replica, but every row and every number of rows is padded;
// where D is a multiple of kTile that is the replica itself. Noise of a pair, a byte a value: of a
// vector its elements, of a matrix the rows of A (a rank each), then those of B. The embedding's
// noise is drawn where it is used: a pair looks at few of its rows.
struct Shape {
  uint32_t hidden, wide;         // D and 4 D
  uint32_t padded, padded_wide;  // the same, padded
  uint32_t layers, rank, sigma_shift;
  uint32_t gaussian;                      // core::Noise
  uint32_t matmul_divisor, wide_divisor;  // core::MatmulDivisor of hidden and wide

  HATCHERY_HD constexpr core::Noise noise() const {
    return gaussian != 0 ? core::Noise::kGaussian : core::Noise::kRademacher;
  }
  HATCHERY_HD constexpr uint64_t LayerWeights() const { return PlaceWeights(kPlaces); }
  HATCHERY_HD constexpr uint64_t WeightsOf(uint32_t layer, Place place) const {
    return uint64_t{256} * padded + layer * LayerWeights() + PlaceWeights(place);
  }
  HATCHERY_HD constexpr uint64_t NormOutWeights() const { return WeightsOf(layers, kNorm1); }
  HATCHERY_HD constexpr uint64_t HeadWeights() const { return NormOutWeights() + padded; }
  HATCHERY_HD constexpr uint64_t Weights() const { return HeadWeights() + uint64_t{256} * padded; }

  HATCHERY_HD constexpr uint32_t NoiseOf(uint32_t layer, Place place) const {
    return layer * PlaceNoise(kPlaces) + PlaceNoise(place);
  }
  HATCHERY_HD constexpr uint32_t NormOutNoise() const { return NoiseOf(layers, kNorm1); }
  HATCHERY_HD constexpr uint32_t HeadNoise() const { return NormOutNoise() + padded; }
  // Bytes of a pair.
  HATCHERY_HD constexpr uint32_t Noise() const { return HeadNoise() + rank * (256 + padded); }

  // Bytes of a layer before `place`.
  HATCHERY_HD constexpr uint64_t PlaceWeights(uint32_t place) const {
    return VectorsBefore(place) * uint64_t{padded} +
           SquaresBefore(place) * uint64_t{padded} * padded +
           WidesBefore(place) * uint64_t{padded} * padded_wide;
  }
  HATCHERY_HD constexpr uint32_t PlaceNoise(uint32_t place) const {
    return VectorsBefore(place) * padded + SquaresBefore(place) * rank * 2 * padded +
           WidesBefore(place) * rank * (padded + padded_wide);
  }
  HATCHERY_HD static constexpr uint32_t VectorsBefore(uint32_t place) {
    return (place > kNorm1) + (place > kBf) + (place > kBh) + (place > kNorm2);
  }
  HATCHERY_HD static constexpr uint32_t SquaresBefore(uint32_t place) {
    return (place > kWf) + (place > kUf) + (place > kWh) + (place > kUh);
  }
  HATCHERY_HD static constexpr uint32_t WidesBefore(uint32_t place) {
    return (place > kW1) + (place > kW2);
  }

  // Memory of a threadgroup's kTile members, member by member in rows: x, f, c, wide (the logits
  // too), the recurrent state of every layer; and where threadgroup memory is too small, two more.
  HATCHERY_HD constexpr uint32_t WideRow() const { return padded_wide < 256 ? 256 : padded_wide; }
  HATCHERY_HD constexpr uint64_t Rows() const { return uint64_t{kTile} * padded; }
  HATCHERY_HD constexpr uint64_t WideScratch() const { return 3 * Rows(); }
  HATCHERY_HD constexpr uint64_t StateScratch() const {
    return WideScratch() + uint64_t{kTile} * WideRow();
  }
  HATCHERY_HD constexpr uint64_t FarScratch() const { return StateScratch() + layers * Rows(); }
  HATCHERY_HD constexpr uint64_t Scratch() const { return FarScratch() + 2 * Rows(); }

  // Threadgroup memory: B . x of three products in work, an int32 a member and rank; then, if near,
  // two operands, whose rows are a word longer so that rows begin in different banks.
  HATCHERY_HD constexpr uint32_t DotBytes() const { return 3 * kTile * rank * 4; }
  HATCHERY_HD constexpr uint32_t NearRow() const { return padded + 4; }
  HATCHERY_HD constexpr uint32_t NearBytes() const { return DotBytes() + 2 * kTile * NearRow(); }
};

// 16 consecutive noise bytes of a pair, and what they are.
struct NoiseUnit {
  uint32_t tensor;
  uint32_t factor, rank;  // core::Factor
  uint32_t element;       // first, of its row
  uint32_t count;         // elements; bytes past them are zero
};

struct NoiseArguments {
  uint64_t seed;
  uint32_t noise_step;
  uint32_t first_pair, pairs;
  uint32_t units;  // of a pair
  uint32_t gaussian;
  uint32_t unused;
};

// Sums over the scored tokens of one sequence.
struct SequenceSums {
  int64_t score, coarse_score;
  uint64_t correct;
};

// Sequences of bytes to feed to perturbed members or to the unperturbed model.
struct EvaluateArguments {
  Shape shape;
  uint64_t seed;
  uint64_t positions;  // members: windows of the training data, as core::WindowOffset takes them
  uint64_t stride;     // unperturbed: sequence i begins at byte `begin` + i * stride
  uint64_t begin;
  uint32_t count;      // sequences; kTile a threadgroup
  uint32_t perturbed;  // sequence i is member 2 * first_pair + i at `step`
  uint32_t first_pair, pairs_per_group;
  uint32_t step, noise_step;
  uint32_t first_token, end_token;  // of each sequence that this dispatch feeds
  uint32_t unscored;                // tokens at the start of a sequence that are not scored
  uint32_t fresh;                   // state and sums begin at zero, not where they stand
  uint32_t scored;                  // 0: only the logits of the last token are wanted
  uint32_t unused;
};

// A part of a tensor that one threadgroup updates, cut off at the tensor's edges: kUpdateTile
// square of a matrix, kElementTile elements of a row of others.
HATCHERY_CONSTANT uint32_t kUpdateTile = 64;
HATCHERY_CONSTANT uint32_t kElementTile = 16;
struct UpdateTile {
  uint64_t offset;  // of the tensor in the replica
  uint32_t tensor;
  uint32_t rows, columns;
  uint32_t row, column;  // first
  uint32_t unused;
};

struct UpdateArguments {
  uint64_t seed;
  uint64_t threshold;
  uint32_t noise_step;
  uint32_t pairs;
  uint32_t rank;
  uint32_t gaussian;
};

// Pairs whose products a float adds up exactly: |f| <= 127, |noise| <= 46.
HATCHERY_CONSTANT uint32_t kExactPairs = 32;
static_assert(kExactPairs * 127 * 46 * 46 < (1u << 24), "a float counts to 2^24");

struct DigestArguments {
  uint64_t first, count;  // words of the replica
  uint32_t groups;
  uint32_t unused;
};

// Threadgroup memory of the other kernels.
HATCHERY_CONSTANT uint32_t kUpdateMatricesShared = 2 * kExactPairs * kUpdateTile * 4;
HATCHERY_CONSTANT uint32_t kUpdateElementsShared = kThreads * kElementTile * 4;
HATCHERY_CONSTANT uint32_t kDigestShared = kThreads * 16;

}  // namespace hatchery::apple

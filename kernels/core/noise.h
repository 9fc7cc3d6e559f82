// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Counter-based noise (docs/contract.md, section 4). One counter names 128 random bits:
//
//   w0  block: which 128 bits of a row
//   w1  domain << 28 | tensor << 8 | factor << 7 | rank
//   w2  pair (kNoise), group (kWindow) or 0 (kInit)
//   w3  noise step (kNoise), step (kWindow) or 0 (kInit)
//
// A row is one rank column of a factor, one bias or gain vector, or one embedding row; every row
// starts on a fresh block. Rademacher draws one bit an element (128 a block), Gaussian one byte
// (16 a block), element e at bit or byte e of the block in little-endian order.
#pragma once

#include "kernels/core/philox.h"
#include "kernels/core/tables.h"

namespace hatchery::core {

enum class Domain : uint32_t { kInit = 0, kNoise = 1, kWindow = 2 };

// Which factor of a matrix perturbation A B^T: A has one entry an output (row), B one an input
// (column). Vectors and embeddings, perturbed an element at a time, use kA.
enum class Factor : uint32_t { kA = 0, kB = 1 };

enum class Noise : uint8_t { kRademacher = 0, kGaussian = 1 };

HATCHERY_CONSTANT uint32_t kMaxRank = 8;
HATCHERY_CONSTANT uint32_t kMaxTensors = 1u << 20;

// Elements that one 128-bit block holds.
HATCHERY_HD constexpr uint32_t ElementsPerBlock(Noise noise) {
  return noise == Noise::kRademacher ? 128 : 16;
}

// Blocks that a row of `elements` takes; row `i` of an embedding starts at block i * BlocksPerRow.
HATCHERY_HD constexpr uint32_t BlocksPerRow(Noise noise, uint32_t elements) {
  return (elements + ElementsPerBlock(noise) - 1) / ElementsPerBlock(noise);
}

HATCHERY_HD constexpr uint32_t StreamWord(Domain domain, uint32_t tensor, Factor factor,
                                          uint32_t rank) {
  return static_cast<uint32_t>(domain) << 28 | tensor << 8 | static_cast<uint32_t>(factor) << 7 |
         rank;
}

// 128 bits of the perturbation of pair `pair`; `noise_step` comes from NoiseStep.
HATCHERY_HD constexpr Word4 NoiseBlock(uint64_t seed, uint32_t noise_step, uint32_t pair,
                                       uint32_t tensor, Factor factor, uint32_t rank,
                                       uint32_t block) {
  return Philox(Word4{block, StreamWord(Domain::kNoise, tensor, factor, rank), pair, noise_step},
                seed);
}

// 16 bytes of the initial values of matrix or embedding `tensor`, elements flat in row-major order.
HATCHERY_HD constexpr Word4 InitBlock(uint64_t seed, uint32_t tensor, uint32_t block) {
  return Philox(Word4{block, StreamWord(Domain::kInit, tensor, Factor::kA, 0), 0, 0}, seed);
}

// The step that selects the noise: steps share noise in runs of `reuse`; 0 is one noise for ever.
HATCHERY_HD constexpr uint32_t NoiseStep(uint32_t step, uint32_t reuse) {
  return reuse == 0 ? 0 : step / reuse;
}

// +1 for a clear bit, -1 for a set one; `element` counts within the block, [0, 128).
HATCHERY_HD constexpr int32_t RademacherValue(Word4 block, uint32_t element) {
  return 1 - 2 * static_cast<int32_t>(WordAt(block, element >> 5) >> (element & 31) & 1);
}

// A normal draw in sixteenths; `element` counts within the block, [0, 16).
HATCHERY_HD inline int32_t GaussianValue(Word4 block, uint32_t element) {
  return NormalTable(WordAt(block, element >> 2) >> ((element & 3) * 8) & 0xFF);
}

// Noise value of element `element` of a block of either kind.
HATCHERY_HD inline int32_t NoiseValue(Noise noise, Word4 block, uint32_t element) {
  return noise == Noise::kRademacher ? RademacherValue(block, element)
                                     : GaussianValue(block, element);
}

// Member 2p carries +noise of pair p, member 2p+1 carries -noise.
HATCHERY_HD constexpr int32_t MemberSign(uint32_t member) { return (member & 1) ? -1 : 1; }

}  // namespace hatchery::core

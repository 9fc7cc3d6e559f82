// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The commit: what one step does to every replica, as integers (docs/contract.md, section 7).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/job_spec.h"
#include "kernels/model.h"

namespace hatchery {

enum class FitnessEncoding : uint8_t {
  kTernary = 0,  // five trits a byte, core/trits.h
  kInt8 = 1,     // one two's-complement byte a pair
};

struct Commit {
  uint32_t step = 0;  // the step that this commit completes; afterwards the replica is at step + 1
  FitnessEncoding encoding = FitnessEncoding::kTernary;
  std::vector<uint8_t> fitness;  // one value a pair, encoded
  uint32_t alpha = 0;            // schedule, in 1/65536
  uint32_t z_score = 0;          // ZScore(alpha), in 1/65536

  bool operator==(const Commit&) const = default;
};

// Ternary fitness of `scores`, two a pair (+, -), packed five a byte.
std::vector<uint8_t> EncodeSigns(std::span<const int32_t> scores);

// Checks length, byte values and padding for `pairs` pairs.
Status CheckFitness(FitnessEncoding encoding, std::span<const uint8_t> fitness, uint32_t pairs);

// One value in [-127, 127] a pair. The encoding must have passed CheckFitness.
std::vector<int8_t> DecodeFitness(FitnessEncoding encoding, std::span<const uint8_t> fitness,
                                  uint32_t pairs);

// The encoding that the job's fitness rule commits in.
FitnessEncoding CommitEncoding(FitnessRule rule);

// Commit of `step` under rule kSign: `trits` are the shards' bytes, concatenated.
Commit MakeSignCommit(const JobSpec& spec, uint32_t step, std::vector<uint8_t> trits);

// Commit of `step` under rule kNormalized from the whole population's scores, two a pair:
// f = clamp(floor(32 d / m), -127, 127), d the pair's difference, m = max(1, floor(mean |d|)).
Commit MakeNormalizedCommit(const JobSpec& spec, uint32_t step, std::span<const int32_t> scores);

// Commit of `step` under the job's own rule, from the whole population's scores, two a pair.
Commit MakeCommit(const JobSpec& spec, uint32_t step, std::span<const int32_t> scores);

// The thresholds of one commit: |Z| at or above moves the weight.
struct Thresholds {
  uint64_t matrix = 0;
  uint64_t element = 0;  // gains, biases, embedding
};
Thresholds ComputeThresholds(const JobSpec& spec, const Commit& commit,
                             std::span<const int8_t> fitness);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/commit.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "kernels/core/trits.h"
#include "kernels/core/update.h"

namespace hatchery {
namespace {

Commit ScheduledCommit(const JobSpec& spec, uint32_t step) {
  Commit commit;
  commit.step = step;
  commit.encoding = CommitEncoding(spec.fitness);
  commit.alpha = core::Alpha(step, spec.alpha_start, spec.alpha_decay_bits, spec.alpha_decay_steps);
  commit.z_score = core::ZScore(commit.alpha);
  return commit;
}

using Trits = std::array<int8_t, core::kTritsPerByte>;
constexpr std::array<Trits, 256> kTritsOf = [] {
  std::array<Trits, 256> table{};
  for (uint32_t byte = 0; byte < table.size(); ++byte)
    for (uint32_t i = 0; i < core::kTritsPerByte; ++i)
      table[byte][i] = static_cast<int8_t>(core::TritAt(byte, i));
  return table;
}();

}  // namespace

std::vector<uint8_t> EncodeSigns(std::span<const int32_t> scores) {
  const uint32_t pairs = static_cast<uint32_t>(scores.size() / 2);
  std::vector<uint8_t> bytes(core::TritBytes(pairs), 0);
  for (uint32_t byte = 0; byte < bytes.size(); ++byte) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < core::kTritsPerByte; ++i) {
      const uint32_t pair = byte * core::kTritsPerByte + i;
      const int32_t trit =
          pair < pairs ? core::SignFitness(scores[2 * pair], scores[2 * pair + 1]) : 0;
      value += core::TritTerm(trit, i);
    }
    bytes[byte] = static_cast<uint8_t>(value);
  }
  return bytes;
}

Status CheckFitness(FitnessEncoding encoding, std::span<const uint8_t> fitness, uint32_t pairs) {
  const size_t expected = encoding == FitnessEncoding::kTernary ? core::TritBytes(pairs) : pairs;
  if (fitness.size() != expected)
    return InvalidArgument("fitness has " + std::to_string(fitness.size()) + " bytes; " +
                           std::to_string(pairs) + " pairs take " + std::to_string(expected));
  for (size_t i = 0; i < fitness.size(); ++i) {
    const uint8_t byte = fitness[i];
    const bool valid =
        encoding == FitnessEncoding::kTernary ? byte < core::kTritByteLimit : byte != 0x80;
    if (!valid)
      return InvalidArgument("fitness byte " + std::to_string(i) + " is " + std::to_string(byte) +
                             ", which encodes nothing");
  }
  if (encoding == FitnessEncoding::kTernary && !fitness.empty()) {
    const uint32_t used = (pairs - 1) % core::kTritsPerByte + 1;
    for (uint32_t i = used; i < core::kTritsPerByte; ++i)
      if (core::TritAt(fitness.back(), i) != 0)
        return InvalidArgument("fitness has a padding trit that is not zero");
  }
  return {};
}

std::vector<int8_t> DecodeFitness(FitnessEncoding encoding, std::span<const uint8_t> fitness,
                                  uint32_t pairs) {
  if (encoding == FitnessEncoding::kInt8) return {fitness.begin(), fitness.end()};
  // By table: every commit of every replica comes through here.
  std::vector<int8_t> values(fitness.size() * core::kTritsPerByte);
  for (size_t byte = 0; byte < fitness.size(); ++byte)
    std::copy_n(kTritsOf[fitness[byte]].begin(), core::kTritsPerByte,
                values.begin() + static_cast<ptrdiff_t>(byte * core::kTritsPerByte));
  values.resize(pairs);
  return values;
}

FitnessEncoding CommitEncoding(FitnessRule rule) {
  return rule == FitnessRule::kSign ? FitnessEncoding::kTernary : FitnessEncoding::kInt8;
}

Commit MakeSignCommit(const JobSpec& spec, uint32_t step, std::vector<uint8_t> trits) {
  Commit commit = ScheduledCommit(spec, step);
  commit.fitness = std::move(trits);
  return commit;
}

Commit MakeNormalizedCommit(const JobSpec& spec, uint32_t step, std::span<const int32_t> scores) {
  Commit commit = ScheduledCommit(spec, step);
  const size_t pairs = scores.size() / 2;
  auto difference = [&](size_t p) { return int64_t{scores[2 * p]} - scores[2 * p + 1]; };
  int64_t magnitude = 0;
  for (size_t p = 0; p < pairs; ++p) magnitude += std::abs(difference(p));
  const int64_t mean = std::max<int64_t>(1, magnitude / static_cast<int64_t>(pairs));
  commit.fitness.resize(pairs);
  for (size_t p = 0; p < pairs; ++p) {
    const int64_t scaled = 32 * difference(p);
    const int64_t quotient = scaled / mean - (scaled % mean < 0);
    commit.fitness[p] =
        static_cast<uint8_t>(static_cast<int8_t>(std::clamp<int64_t>(quotient, -127, 127)));
  }
  return commit;
}

Commit MakeCommit(const JobSpec& spec, uint32_t step, std::span<const int32_t> scores) {
  return spec.fitness == FitnessRule::kSign ? MakeSignCommit(spec, step, EncodeSigns(scores))
                                            : MakeNormalizedCommit(spec, step, scores);
}

Thresholds ComputeThresholds(const JobSpec& spec, const Commit& commit,
                             std::span<const int8_t> fitness) {
  uint64_t sum_squares = 0;
  for (int8_t f : fitness) sum_squares += static_cast<uint64_t>(f * f);
  return Thresholds{
      core::Threshold(commit.z_score, core::MatrixVariance(spec.noise, spec.rank), sum_squares),
      core::Threshold(commit.z_score, core::ElementVariance(spec.noise), sum_squares)};
}

}  // namespace hatchery

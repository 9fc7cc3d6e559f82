// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Sections 7 and 8 of docs/contract.md: fitness, schedule, thresholds, update, digest.
#include "tests/oracle/internal.h"

namespace oracle {

std::vector<int> SignFitness(const std::vector<int32_t>& scores) {
  std::vector<int> fitness;
  for (size_t p = 0; p < scores.size() / 2; ++p) {
    const int64_t difference = int64_t{scores[2 * p]} - scores[2 * p + 1];
    fitness.push_back(difference > 0 ? 1 : difference < 0 ? -1 : 0);
  }
  return fitness;
}

std::vector<int> NormalizedFitness(const std::vector<int32_t>& scores) {
  const int64_t pairs = static_cast<int64_t>(scores.size()) / 2;
  int64_t magnitude = 0;
  std::vector<int64_t> differences;
  for (size_t p = 0; p < scores.size() / 2; ++p) {
    const int64_t d = int64_t{scores[2 * p]} - scores[2 * p + 1];
    differences.push_back(d);
    magnitude += d < 0 ? -d : d;
  }
  int64_t mean = magnitude / pairs;
  if (mean == 0) mean = 1;
  std::vector<int> fitness;
  for (int64_t d : differences) fitness.push_back(Clamp(Floor(32 * d, mean), -127, 127));
  return fitness;
}

uint32_t Alpha(const Job& job, uint32_t step) {
  const uint64_t grown = (uint64_t{1} << job.alpha_decay_bits) - 1;
  const uint64_t alpha =
      uint64_t{job.alpha_start} * job.alpha_decay_steps / (grown * step + job.alpha_decay_steps);
  return alpha == 0 ? 1 : static_cast<uint32_t>(alpha);
}

uint32_t ZScore(uint32_t alpha) {
  if (alpha == 65536) return 0;
  uint32_t octave = 0;
  while (alpha >> (octave + 1) != 0) ++octave;
  // Place within the octave, in 1/4096: a sixteenth of it selects the entry, the rest interpolates.
  const uint32_t place = (alpha << 12 >> octave) - 4096;
  const uint32_t index = octave * 16 + place / 256;
  const uint32_t high = TheTables().z[index], low = TheTables().z[index + 1];
  return high - (high - low) * (place % 256) / 256;
}

uint64_t Threshold(uint32_t z, uint64_t variance, uint64_t sum_squares) {
  // The least T with T^2 2^32 >= z^2 variance sum_squares. Everything stays below 2^112.
  const unsigned __int128 want = static_cast<unsigned __int128>(z) * z * (variance * sum_squares);
  uint64_t low = 0, high = uint64_t{1} << 40;
  while (low < high) {
    const uint64_t middle = (low + high) / 2;
    const unsigned __int128 square = (static_cast<unsigned __int128>(middle) * middle) << 32;
    if (square >= want)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

namespace {

// Z of every element of a tensor.
std::vector<int64_t> NoiseSum(const Job& job, uint32_t step, uint32_t id, const Tensor& t,
                              const std::vector<int>& fitness) {
  std::vector<int64_t> z(size_t{t.rows} * t.columns, 0);
  std::vector<int> a(t.rows), b(t.columns);
  for (uint32_t p = 0; p < fitness.size(); ++p) {
    if (fitness[p] == 0) continue;
    if (t.kind != Kind::kMatrix) {
      for (uint32_t r = 0; r < t.rows; ++r)
        for (uint32_t i = 0; i < t.columns; ++i)
          z[size_t{r} * t.columns + i] +=
              fitness[p] * Noise(job, step, p, id, 0, 0, r, t.columns, i);
      continue;
    }
    for (uint32_t k = 0; k < job.rank; ++k) {
      for (uint32_t o = 0; o < t.rows; ++o) a[o] = Noise(job, step, p, id, 0, k, 0, t.rows, o);
      for (uint32_t i = 0; i < t.columns; ++i)
        b[i] = Noise(job, step, p, id, 1, k, 0, t.columns, i);
      for (uint32_t o = 0; o < t.rows; ++o)
        for (uint32_t i = 0; i < t.columns; ++i)
          z[size_t{o} * t.columns + i] += fitness[p] * a[o] * b[i];
    }
  }
  return z;
}

}  // namespace

Weights Update(const Job& job, const Weights& weights, uint32_t step,
               const std::vector<int>& fitness) {
  uint64_t sum_squares = 0;
  for (int f : fitness) sum_squares += static_cast<uint64_t>(f * f);
  const uint64_t element_variance = job.gaussian ? TheTables().normal_mean_square : 1;
  const uint32_t z_score = ZScore(Alpha(job, step));
  Weights next = weights;
  const std::vector<Tensor> layout = Layout(job);
  for (uint32_t id = 0; id < layout.size(); ++id) {
    const Tensor& t = layout[id];
    const uint64_t variance =
        t.kind == Kind::kMatrix ? job.rank * element_variance * element_variance : element_variance;
    const uint64_t threshold = Threshold(z_score, variance, sum_squares);
    const std::vector<int64_t> z = NoiseSum(job, step, id, t, fitness);
    for (size_t e = 0; e < z.size(); ++e) {
      const uint64_t magnitude = static_cast<uint64_t>(z[e] < 0 ? -z[e] : z[e]);
      if (z[e] == 0 || magnitude < threshold) continue;
      int8_t& weight = next[t.offset + e];
      weight = static_cast<int8_t>(Clamp(weight + (z[e] > 0 ? 1 : -1), -127, 127));
    }
  }
  return next;
}

std::array<uint64_t, 2> Digest(const Weights& weights) {
  auto mix = [](uint64_t v) {
    v ^= v >> 30;
    v *= 13787848793156543929u;
    v ^= v >> 27;
    v *= 10723151780598845931u;
    return v ^ (v >> 31);
  };
  std::array<uint64_t, 2> lanes = {0, 0};
  for (size_t word = 0; word < weights.size() / 8; ++word) {
    uint64_t value = 0;
    for (size_t byte = 8; byte-- > 0;)
      value = value * 256 + static_cast<uint8_t>(weights[8 * word + byte]);
    lanes[0] += mix(value ^ mix((word + 1) * 11400714819323198485u));
    lanes[1] += mix(value + mix((word + 1) * 14029467366897019727u));
  }
  return lanes;
}

}  // namespace oracle

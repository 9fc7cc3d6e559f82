// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Sections 2, 4 and 5 of docs/contract.md: rounding, noise, layout, initial weights.
#include "tests/oracle/internal.h"

namespace oracle {

int64_t Floor(int64_t a, int64_t b) {
  int64_t q = a / b;
  while (q * b > a) --q;
  return q;
}

int Clamp(int64_t v, int low, int high) {
  if (v < low) return low;
  if (v > high) return high;
  return static_cast<int>(v);
}

std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> c, uint64_t key) {
  uint32_t key_low = static_cast<uint32_t>(key % 4294967296u);
  uint32_t key_high = static_cast<uint32_t>(key / 4294967296u);
  for (int round = 1; round <= 10; ++round) {
    const uint64_t a = 3528531795u * uint64_t{c[0]};
    const uint64_t b = 3449720151u * uint64_t{c[2]};
    std::array<uint32_t, 4> next;
    next[0] = static_cast<uint32_t>(b / 4294967296u) ^ c[1] ^ key_low;
    next[1] = static_cast<uint32_t>(b % 4294967296u);
    next[2] = static_cast<uint32_t>(a / 4294967296u) ^ c[3] ^ key_high;
    next[3] = static_cast<uint32_t>(a % 4294967296u);
    c = next;
    key_low += 2654435769u;
    key_high += 3144134277u;
  }
  return c;
}

namespace {

// Byte `i` (0..15) of a block in little-endian order.
uint32_t ByteOf(const std::array<uint32_t, 4>& block, uint32_t i) {
  uint32_t word = block[i / 4];
  for (uint32_t k = 0; k < i % 4; ++k) word /= 256;
  return word % 256;
}

}  // namespace

int Noise(const Job& job, uint32_t step, uint32_t pair, uint32_t tensor, uint32_t factor,
          uint32_t rank, uint32_t row, uint32_t row_elements, uint32_t element) {
  const uint32_t per_block = job.gaussian ? 16 : 128;
  const uint32_t blocks_per_row = (row_elements + per_block - 1) / per_block;
  const uint32_t noise_step = job.noise_reuse == 0 ? 0 : step / job.noise_reuse;
  const uint32_t stream = 268435456u + tensor * 256 + factor * 128 + rank;  // domain 1
  const std::array<uint32_t, 4> counter = {row * blocks_per_row + element / per_block, stream, pair,
                                           noise_step};
  // Remembers the last block: a loop over a row would otherwise draw it once an element.
  struct Last {
    std::array<uint32_t, 4> counter, block;
    uint64_t seed;
    bool drawn;
  };
  static thread_local Last last{};
  if (!last.drawn || last.counter != counter || last.seed != job.seed)
    last = {counter, Philox(counter, job.seed), job.seed, true};
  const auto& block = last.block;
  const uint32_t place = element % per_block;
  if (job.gaussian) return TheTables().normal[ByteOf(block, place)];
  uint32_t bits = ByteOf(block, place / 8);
  for (uint32_t k = 0; k < place % 8; ++k) bits /= 2;
  return bits % 2 == 1 ? -1 : 1;
}

std::vector<Tensor> Layout(const Job& job) {
  const uint32_t d = job.hidden;
  std::vector<Tensor> tensors;
  uint64_t offset = 0;
  auto add = [&](Kind kind, uint32_t rows, uint32_t columns) {
    tensors.push_back({kind, rows, columns, offset});
    offset += uint64_t{rows} * columns;
    while (offset % 8 != 0) ++offset;
  };
  add(Kind::kEmbedding, 256, d);
  for (uint32_t l = 0; l < job.layers; ++l) {
    add(Kind::kGain, 1, d);        // norm1
    add(Kind::kMatrix, d, d);      // wf
    add(Kind::kMatrix, d, d);      // uf
    add(Kind::kBias, 1, d);        // bf
    add(Kind::kMatrix, d, d);      // wh
    add(Kind::kMatrix, d, d);      // uh
    add(Kind::kBias, 1, d);        // bh
    add(Kind::kGain, 1, d);        // norm2
    add(Kind::kMatrix, 4 * d, d);  // w1
    add(Kind::kMatrix, d, 4 * d);  // w2
  }
  add(Kind::kGain, 1, d);      // norm_out
  add(Kind::kMatrix, 256, d);  // head
  return tensors;
}

Weights InitialWeights(const Job& job) {
  Weights weights;
  const std::vector<Tensor> layout = Layout(job);
  for (uint32_t id = 0; id < layout.size(); ++id) {
    const Tensor& t = layout[id];
    weights.resize(t.offset, 0);
    for (uint32_t e = 0; e < t.rows * t.columns; ++e) {
      int value = 0;
      if (t.kind == Kind::kGain) value = 16;
      if (t.kind == Kind::kMatrix || t.kind == Kind::kEmbedding)
        value = TheTables().normal[ByteOf(Philox({e / 16, id * 256, 0, 0}, job.seed), e % 16)];
      weights.push_back(static_cast<int8_t>(value));
    }
  }
  while (weights.size() % 8 != 0) weights.push_back(0);
  return weights;
}

}  // namespace oracle

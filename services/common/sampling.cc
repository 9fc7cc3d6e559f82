// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/sampling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/core/philox.h"

namespace hatchery {
namespace {

// The next byte, given 256 logits in sixteenths of a bit; `uniform` in [0, 1) decides.
uint8_t Choose(const std::vector<int8_t>& logits, const std::array<bool, 256>& present,
               const SamplingOptions& options, double uniform) {
  std::array<double, 256> bits;
  for (size_t v = 0; v < 256; ++v)
    bits[v] = logits[v] / 16.0 - (present[v] ? options.presence_penalty : 0);
  const size_t best = std::max_element(bits.begin(), bits.end()) - bits.begin();
  if (options.temperature == 0) return static_cast<uint8_t>(best);
  std::array<double, 256> weights;
  double total = 0;
  for (size_t v = 0; v < 256; ++v) {
    const double ratio = std::exp2((bits[v] - bits[best]) / options.temperature);
    weights[v] = ratio >= options.min_p ? ratio : 0;
    total += weights[v];
  }
  double left = uniform * total;
  for (size_t v = 0; v < 256; ++v) {
    left -= weights[v];
    if (left < 0 && weights[v] > 0) return static_cast<uint8_t>(v);
  }
  return static_cast<uint8_t>(best);
}

}  // namespace

Status SampleBytes(Replica& replica, const std::string& prompt, const SamplingOptions& options,
                   const std::function<void(uint8_t)>& on_byte) {
  RecurrentState state;
  std::array<bool, 256> present{};
  std::vector<int8_t> logits;
  // A model without a prompt starts from a line's end.
  for (const char c : prompt.empty() ? std::string("\n") : prompt) {
    HATCHERY_ASSIGN_OR_RETURN(logits, replica.Logits(static_cast<uint8_t>(c), state));
  }
  for (uint32_t i = 0; i < options.bytes; ++i) {
    const core::Word4 bits = core::Philox({i, 0, 0, 0}, options.seed);
    const uint8_t byte = Choose(logits, present, options, bits.w0 * 0x1p-32);
    present[byte] = true;
    on_byte(byte);
    HATCHERY_ASSIGN_OR_RETURN(logits, replica.Logits(byte, state));
  }
  return {};
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// How long things take: a histogram with fixed bounds, as a plain value.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace hatchery {

struct Distribution {
  // Upper bounds, inclusive, in seconds; one more bucket takes what is longer.
  static constexpr std::array<double, 16> kBounds = {
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600};

  void Add(double seconds) {
    const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
    ++counts[static_cast<size_t>(bucket - kBounds.begin())];
    sum += seconds;
  }

  std::array<uint64_t, kBounds.size() + 1> counts{};  // of each bucket alone
  double sum = 0;                                     // seconds
};

}  // namespace hatchery

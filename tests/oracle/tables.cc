// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The tables of docs/contract.md, section 3, from their formulas.
#include <cmath>

#include "tests/oracle/oracle.h"

namespace oracle {
namespace {

// z with P(|N(0,1)| > z) = tail, by bisection.
long double NormalTail(long double tail) {
  long double low = 0, high = 12;
  for (int i = 0; i < 100; ++i) {
    const long double middle = (low + high) / 2;
    (erfcl(middle / sqrtl(2.0L)) > tail ? low : high) = middle;
  }
  return low;
}

Tables Compute() {
  Tables t{};
  int squares = 0;
  for (int i = 0; i < 128; ++i) {
    const long double quantile = NormalTail(2 * (i + 0.5L) / 256);
    t.normal[i] = -static_cast<int>(lroundl(16 * quantile));
    t.normal[255 - i] = -t.normal[i];
    squares += 2 * t.normal[i] * t.normal[i];
  }
  t.normal_mean_square = squares / 256;
  for (int i = 0; i < 256; ++i)
    t.exp2[i] = static_cast<uint32_t>(lroundl(exp2l((i - 255) / 16.0L) * 8388608));
  for (int i = 0; i <= 256; ++i)
    t.log2[i] = static_cast<uint32_t>(lroundl(log2l(1 + i / 256.0L) * 65536));
  for (int i = 0; i < 256; ++i) {
    const long double alpha = exp2l(i / 16) * (1 + (i % 16) / 16.0L) / 65536;
    t.z[i] = static_cast<uint32_t>(lroundl(NormalTail(alpha) * 65536));
  }
  t.z[256] = 0;
  return t;
}

}  // namespace

const Tables& TheTables() {
  static const Tables tables = Compute();
  return tables;
}

}  // namespace oracle

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Known answers of Philox4x32-10 as published with the paper (Random123, kat_vectors).
#include "kernels/core/philox.h"

#include <gtest/gtest.h>

namespace hatchery::core {
namespace {

void ExpectWords(Word4 got, Word4 want) {
  EXPECT_EQ(got.w0, want.w0);
  EXPECT_EQ(got.w1, want.w1);
  EXPECT_EQ(got.w2, want.w2);
  EXPECT_EQ(got.w3, want.w3);
}

TEST(Philox, PublishedVectors) {
  ExpectWords(Philox({0, 0, 0, 0}, 0), {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  ExpectWords(Philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff),
              {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  ExpectWords(Philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822),
              {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST(Philox, WordAtFollowsTheOrderOfTheWords) {
  const Word4 words{10, 11, 12, 13};
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(WordAt(words, i), 10 + i);
}

}  // namespace
}  // namespace hatchery::core

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Exact int8 products on 64-bit Arm with the dot-product instructions (`sdot`: into each of four
// int32 lanes four products of bytes; nothing saturates). All of Apple's and most other processors
// since 2018 have them. Built for Arm alone.
#include <arm_neon.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <vector>

#include "cpu_fallback/product.h"

namespace hatchery {
namespace {

constexpr size_t kTileOutputs = 16, kTileMembers = 4;
constexpr size_t kGroup = 4;    // inputs that one lane of an instruction takes
constexpr size_t kInputs = 16;  // that one vector of a member's holds
static_assert(kRowAlignment % kTileOutputs == 0 && kRowAlignment % kInputs == 0);

struct DotMatrix : PackedMatrix {
  size_t rows, columns;  // padded
  // [output / 16][input / 4][output % 16][input % 4]
  std::vector<int8_t> weights;
};

// The sums of four outputs with the inputs of one group, the `lane`-th of `x`.
template <int lane>
void AddGroup(int32x4_t (&sums)[4], const int8x16_t (&w)[4], int8x16_t x) {
  for (int v = 0; v < 4; ++v) sums[v] = vdotq_laneq_s32(sums[v], w[v], x, lane);
}

// Of kMembers rows of inputs, and of all of them the same group.
template <size_t kMembers, int lane>
void AddGroups(int32x4_t (&sums)[kMembers][4], const int8_t* packed,
               const int8x16_t (&x)[kMembers]) {
  int8x16_t w[4];
  for (int v = 0; v < 4; ++v)
    w[v] = vld1q_s8(packed + (static_cast<size_t>(lane) * kTileOutputs * kGroup) + 16 * v);
  for (size_t m = 0; m < kMembers; ++m) AddGroup<lane>(sums[m], w, x[m]);
}

// Sums of kMembers rows of inputs with one tile of 16 outputs; they stay in registers.
template <size_t kMembers>
void Tile(const int8_t* x, size_t columns, const int8_t* packed, int32_t* out, size_t out_stride) {
  int32x4_t sums[kMembers][4];
  for (auto& of_member : sums)
    for (int32x4_t& sum : of_member) sum = vdupq_n_s32(0);
  for (size_t i = 0; i < columns; i += kInputs, packed += kInputs * kTileOutputs) {
    int8x16_t inputs[kMembers];
    for (size_t m = 0; m < kMembers; ++m) inputs[m] = vld1q_s8(x + m * columns + i);
    AddGroups<kMembers, 0>(sums, packed, inputs);
    AddGroups<kMembers, 1>(sums, packed, inputs);
    AddGroups<kMembers, 2>(sums, packed, inputs);
    AddGroups<kMembers, 3>(sums, packed, inputs);
  }
  for (size_t m = 0; m < kMembers; ++m)
    for (size_t v = 0; v < 4; ++v) vst1q_s32(out + m * out_stride + 4 * v, sums[m][v]);
}

class DotProduct : public Product {
 public:
  std::unique_ptr<PackedMatrix> Pack(const int8_t* w, size_t rows, size_t columns) override {
    auto packed = std::make_unique<DotMatrix>();
    packed->rows = Padded(rows);
    packed->columns = Padded(columns);
    packed->weights.assign(packed->rows * packed->columns, 0);
    for (size_t o = 0; o < rows; ++o) {
      int8_t* tile = packed->weights.data() + o / kTileOutputs * kTileOutputs * packed->columns +
                     o % kTileOutputs * kGroup;
      for (size_t i = 0; i < packed->columns; ++i)
        tile[i / kGroup * kGroup * kTileOutputs + i % kGroup] = w[o * packed->columns + i];
    }
    return packed;
  }

  void Multiply(const PackedMatrix& w, const int8_t* x, size_t members, int32_t* out) override {
    const auto& matrix = static_cast<const DotMatrix&>(w);
    const size_t rows = matrix.rows, columns = matrix.columns;
    for (size_t o = 0; o < rows; o += kTileOutputs) {
      const int8_t* tile = matrix.weights.data() + o * columns;
      size_t m = 0;
      for (; m + kTileMembers <= members; m += kTileMembers)
        Tile<kTileMembers>(x + m * columns, columns, tile, out + m * rows + o, rows);
      for (; m < members; ++m) Tile<1>(x + m * columns, columns, tile, out + m * rows + o, rows);
    }
  }
};

}  // namespace

bool DotIsAvailable() {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return true;  // all of Apple's since the M1
#endif
}

std::unique_ptr<Product> MakeDotProduct() { return std::make_unique<DotProduct>(); }

}  // namespace hatchery

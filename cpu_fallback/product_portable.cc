// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Exact int8 products on any processor: bytes widened to 16 bits, multiplied in pairs and summed in
// 32, which no input can saturate. Weights are packed so that a vector holds one pair of inputs of
// neighbouring outputs; a pair of a member's inputs is broadcast against it, and a tile of
// members x 16 outputs stays in registers.
#include <cstring>
#include <vector>

#include "cpu_fallback/product.h"

// The order of these includes is what makes it work: the file is compiled for each instruction set.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu_fallback/product_portable.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hatchery::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The packed order is the same on every target: [output / 16][input / 2][output % 16][input % 2].
constexpr size_t kTileOutputs = 16;

using D32 = hn::CappedTag<int32_t, kTileOutputs>;
using D16 = hn::Repartition<int16_t, D32>;

constexpr size_t kVectors = kTileOutputs / hn::MaxLanes(D32());

// Sums of kMembers rows of inputs with one tile of 16 outputs.
template <size_t kMembers>
HWY_INLINE void Tile(const int16_t* HWY_RESTRICT inputs, size_t columns,
                     const int16_t* HWY_RESTRICT packed, int32_t* HWY_RESTRICT sums,
                     size_t sums_stride) {
  const D32 d32;
  const D16 d16;
  const size_t lanes = hn::Lanes(d32);
  hn::Vec<D32> low[kMembers][kVectors], high[kMembers][kVectors];
  for (size_t m = 0; m < kMembers; ++m)
    for (size_t v = 0; v < kVectors; ++v) low[m][v] = high[m][v] = hn::Zero(d32);
  for (size_t i = 0; i < columns; i += 2) {
    hn::Vec<D16> w[kVectors];
    for (size_t v = 0; v < kVectors; ++v)
      w[v] = hn::LoadU(d16, packed + i * kTileOutputs + v * 2 * lanes);
    for (size_t m = 0; m < kMembers; ++m) {
      int32_t pair;
      std::memcpy(&pair, inputs + m * columns + i, 4);
      const auto x = hn::BitCast(d16, hn::Set(d32, pair));
      for (size_t v = 0; v < kVectors; ++v)
        low[m][v] = hn::ReorderWidenMulAccumulate(d32, x, w[v], low[m][v], high[m][v]);
    }
  }
  for (size_t m = 0; m < kMembers; ++m)
    for (size_t v = 0; v < kVectors; ++v)
      hn::StoreU(hn::RearrangeToOddPlusEven(low[m][v], high[m][v]), d32,
                 sums + m * sums_stride + v * lanes);
}

void MultiplyPacked(const int16_t* inputs, size_t members, const int16_t* packed, size_t rows,
                    size_t columns, int32_t* sums) {
  constexpr size_t kMembers = kVectors == 1 ? 8 : kVectors == 2 ? 4 : 2;
  for (size_t o = 0; o < rows; o += kTileOutputs) {
    const int16_t* tile = packed + o * columns;
    size_t m = 0;
    for (; m + kMembers <= members; m += kMembers)
      Tile<kMembers>(inputs + m * columns, columns, tile, sums + m * rows + o, rows);
    for (; m < members; ++m)
      Tile<1>(inputs + m * columns, columns, tile, sums + m * rows + o, rows);
  }
}

}  // namespace hatchery::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hatchery {
HWY_EXPORT(MultiplyPacked);

namespace {

constexpr size_t kOutputs = 16;
static_assert(kRowAlignment % kOutputs == 0);

struct PortableMatrix : PackedMatrix {
  size_t rows, columns;  // padded
  std::vector<int16_t> weights;
};

class PortableProduct : public Product {
 public:
  std::unique_ptr<PackedMatrix> Pack(const int8_t* w, size_t rows, size_t columns) override {
    auto packed = std::make_unique<PortableMatrix>();
    packed->rows = Padded(rows);
    packed->columns = Padded(columns);
    packed->weights.assign(packed->rows * packed->columns, 0);
    for (size_t o = 0; o < rows; ++o) {
      int16_t* tile =
          packed->weights.data() + o / kOutputs * kOutputs * packed->columns + o % kOutputs * 2;
      for (size_t i = 0; i < packed->columns; ++i)
        tile[i / 2 * 2 * kOutputs + i % 2] = w[o * packed->columns + i];
    }
    return packed;
  }

  void Multiply(const PackedMatrix& w, const int8_t* x, size_t members, int32_t* out) override {
    const auto& matrix = static_cast<const PortableMatrix&>(w);
    wide_.assign(x, x + members * matrix.columns);
    HWY_DYNAMIC_DISPATCH(MultiplyPacked)
    (wide_.data(), members, matrix.weights.data(), matrix.rows, matrix.columns, out);
  }

 private:
  std::vector<int16_t> wide_;  // the inputs in 16 bits
};

}  // namespace

std::unique_ptr<Product> MakePortableProduct() { return std::make_unique<PortableProduct>(); }

}  // namespace hatchery
#endif  // HWY_ONCE

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// int8 products by oneDNN, where its instruction set has VNNI. Without it, its s8 products go
// through 16-bit saturating adds and are wrong for full-range inputs.
#include <new>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "cpu_fallback/product.h"
#include "oneapi/dnnl/dnnl.hpp"
#include "oneapi/dnnl/dnnl_version.h"

namespace hatchery {
namespace {

dnnl_dim_t Dim(size_t n) { return static_cast<dnnl_dim_t>(n); }

// The plain matrix: oneDNN's gemm brings each block of it into the order it wants on the way. Its
// matmul, which takes a whole matrix in that order, is no faster at 128 members, and putting a
// matrix into that order took seven times as long as a product (docs/performance.md).
struct OneDnnMatrix : PackedMatrix {
  size_t rows, columns;  // columns padded
  std::vector<int8_t> weights;
};

class OneDnnProduct : public Product {
 public:
  std::unique_ptr<PackedMatrix> Pack(const int8_t* w, size_t rows, size_t columns) override {
    auto packed = std::make_unique<OneDnnMatrix>();
    packed->rows = rows;
    packed->columns = Padded(columns);
    packed->weights.assign(w, w + rows * packed->columns);
    return packed;
  }

  void Multiply(const PackedMatrix& w, const int8_t* x, size_t members, int32_t* out) override {
    const auto& matrix = static_cast<const OneDnnMatrix&>(w);
    const dnnl_dim_t rows = Dim(matrix.rows), columns = Dim(matrix.columns);
    const int32_t offset = 0;
    const auto status = dnnl_gemm_s8s8s32('N', 'T', 'F', Dim(members), rows, columns, 1.0f, x,
                                          columns, 0, matrix.weights.data(), columns, 0, 0.0f, out,
                                          Dim(Padded(matrix.rows)), &offset);
    if (status == dnnl_out_of_memory) throw std::bad_alloc();
    if (status != dnnl_success) throw std::runtime_error("oneDNN refused an int8 product");
  }
};

const std::unordered_map<int, const char*>& VnniSets() {
  static const std::unordered_map<int, const char*> sets = {
    {static_cast<int>(dnnl::cpu_isa::avx512_core_vnni), "avx512_core_vnni"},
    {static_cast<int>(dnnl::cpu_isa::avx512_core_bf16), "avx512_core_bf16"},
    {static_cast<int>(dnnl::cpu_isa::avx512_core_amx), "avx512_core_amx"},
    {static_cast<int>(dnnl::cpu_isa::avx2_vnni), "avx2_vnni"},
#if DNNL_VERSION_MAJOR >= 3
    {static_cast<int>(dnnl::cpu_isa::avx512_core_fp16), "avx512_core_fp16"},
#endif
  };
  return sets;
}

// Whether products that any addition in 16 bits would bend are right: a second lock on the door,
// for what oneDNN does on an instruction set is its own affair.
bool PassesFullRange() {
  constexpr size_t kMembers = 19, kRows = 37, kColumns = 192;
  OneDnnProduct product;
  for (const int a : {-128, 127})
    for (const int b : {-128, 127}) {
      const std::vector<int8_t> x(kMembers * kColumns, static_cast<int8_t>(a)),
          w(kRows * kColumns, static_cast<int8_t>(b));
      std::vector<int32_t> sums(kMembers * Padded(kRows));
      product.Multiply(*product.Pack(w.data(), kRows, kColumns), x.data(), kMembers, sums.data());
      for (size_t m = 0; m < kMembers; ++m)
        for (size_t o = 0; o < kRows; ++o)
          if (sums[m * Padded(kRows) + o] != static_cast<int32_t>(kColumns) * a * b) return false;
    }
  return true;
}

}  // namespace

bool OneDnnIsExact() {
  static const bool exact =
      VnniSets().contains(static_cast<int>(dnnl::get_effective_cpu_isa())) && PassesFullRange();
  return exact;
}

std::string OneDnnIsaName() {
  const auto found = VnniSets().find(static_cast<int>(dnnl::get_effective_cpu_isa()));
  return found == VnniSets().end() ? "below VNNI" : found->second;
}

std::unique_ptr<Product> MakeOneDnnProduct() { return std::make_unique<OneDnnProduct>(); }

}  // namespace hatchery

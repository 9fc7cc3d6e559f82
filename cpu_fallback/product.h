// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The int8 matrix product that everything heavy is made of: exact, int32 sums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "cpu_fallback/cpu_replica.h"
#include "kernels/status.h"

namespace hatchery {

// Rows of activations, accumulators and noise are padded to a multiple of this many elements, so
// that vector code needs no tails.
inline constexpr size_t kRowAlignment = 64;
constexpr size_t Padded(size_t n) {
  return (n + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
}

// A matrix in whatever order its product reads fastest. Immutable; may be shared by threads.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
};

// Stateless but for caches of its own; one a thread.
class Product {
 public:
  virtual ~Product() = default;

  // Packs `w`, row-major: `rows` rows of Padded(columns) bytes, zero past `columns`.
  virtual std::unique_ptr<PackedMatrix> Pack(const int8_t* w, size_t rows, size_t columns) = 0;

  // out[i][o] = sum_k x[i][k] w[o][k] for i < members, o < rows. x: members rows of
  // Padded(columns) bytes; out: members rows of Padded(rows) words, unspecified past `rows`.
  virtual void Multiply(const PackedMatrix& w, const int8_t* x, size_t members, int32_t* out) = 0;
};

// Whether `product` (not kAuto) is exact on this processor; if not, why.
Status CheckProduct(CpuProduct product);
// kAuto resolved for this processor.
CpuProduct ChooseProduct(CpuProduct product);
// `product` must have passed CheckProduct.
std::unique_ptr<Product> MakeProduct(CpuProduct product);
// For people: "oneDNN avx512_core_bf16", "Arm dot products", "portable AVX2".
std::string ProductName(CpuProduct product);

// Makes products on the calling thread use that thread alone.
void KeepProductsSingleThreaded();

// The implementations behind the functions above.
std::unique_ptr<Product> MakePortableProduct();
std::unique_ptr<Product> MakeOneDnnProduct();
std::unique_ptr<Product> MakeDotProduct();
bool OneDnnIsExact();
std::string OneDnnIsaName();
bool DotIsAvailable();

}  // namespace hatchery

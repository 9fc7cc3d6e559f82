// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Exact int8 products on any processor: bytes widened to 16 bits, pairs of products summed in 32.
#include <vector>

#include "cpu_fallback/product.h"
#include "cpu_fallback/vector_ops.h"

namespace hatchery {
namespace {

struct PortableMatrix : PackedMatrix {
  size_t rows, stride;
  std::vector<int8_t> weights;
};

class PortableProduct : public Product {
 public:
  std::unique_ptr<PackedMatrix> Pack(const int8_t* w, size_t rows, size_t columns) override {
    auto packed = std::make_unique<PortableMatrix>();
    packed->rows = rows;
    packed->stride = Padded(columns);
    packed->weights.assign(w, w + rows * packed->stride);
    return packed;
  }

  void Multiply(const PackedMatrix& w, const int8_t* x, size_t members, int32_t* out) override {
    const auto& matrix = static_cast<const PortableMatrix&>(w);
    vector_ops::Products(x, members, matrix.weights.data(), matrix.rows, matrix.stride, out,
                         Padded(matrix.rows));
  }
};

}  // namespace

std::unique_ptr<Product> MakePortableProduct() { return std::make_unique<PortableProduct>(); }

}  // namespace hatchery

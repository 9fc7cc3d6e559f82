// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// int8 products by oneDNN, where its instruction set has VNNI. Without it, its s8 products go
// through 16-bit saturating adds and are wrong for full-range inputs.
#include <map>
#include <tuple>
#include <unordered_map>

#include "cpu_fallback/product.h"
#include "oneapi/dnnl/dnnl.hpp"

namespace hatchery {
namespace {

using dnnl::memory;

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

memory::dim Dim(size_t n) { return static_cast<memory::dim>(n); }

struct OneDnnMatrix : PackedMatrix {
  size_t rows, columns;
  memory weights;
};

class OneDnnProduct : public Product {
 public:
  std::unique_ptr<PackedMatrix> Pack(const int8_t* w, size_t rows, size_t columns) override {
    // The order that oneDNN asks for does not depend on the members; kPackMembers stands for all.
    static constexpr size_t kPackMembers = 128;
    const Kernel& kernel = KernelFor(kPackMembers, rows, columns);
    auto packed = std::make_unique<OneDnnMatrix>();
    packed->rows = rows;
    packed->columns = columns;
    packed->weights = memory(kernel.weights, Engine());
    const memory::desc plain({Dim(Padded(columns)), Dim(rows)}, memory::data_type::s8,
                             {1, Dim(Padded(columns))});
    memory source(plain, Engine(), const_cast<int8_t*>(w));
    dnnl::reorder(source, packed->weights).execute(stream_, source, packed->weights);
    stream_.wait();
    return packed;
  }

  void Multiply(const PackedMatrix& w, const int8_t* x, size_t members, int32_t* out) override {
    const auto& matrix = static_cast<const OneDnnMatrix&>(w);
    const Kernel& kernel = KernelFor(members, matrix.rows, matrix.columns);
    memory weights = matrix.weights;
    if (weights.get_desc() != kernel.weights) {  // another order for this many members
      weights = memory(kernel.weights, Engine());
      memory packed = matrix.weights;
      dnnl::reorder(packed, weights).execute(stream_, packed, weights);
    }
    memory source(kernel.source, Engine(), const_cast<int8_t*>(x));
    memory sums(kernel.sums, Engine(), out);
    kernel.matmul.execute(
        stream_, {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, sums}});
    stream_.wait();
  }

 private:
  struct Kernel {
    memory::desc source, weights, sums;
    dnnl::matmul matmul;
  };

  const Kernel& KernelFor(size_t members, size_t rows, size_t columns) {
    const auto key = std::make_tuple(members, rows, columns);
    if (auto found = kernels_.find(key); found != kernels_.end()) return found->second;
    const memory::dim k = Dim(Padded(columns));
    const memory::desc source({Dim(members), k}, memory::data_type::s8, {k, 1});
    const memory::desc any({k, Dim(rows)}, memory::data_type::s8, memory::format_tag::any);
    const memory::desc sums({Dim(members), Dim(rows)}, memory::data_type::s32,
                            {Dim(Padded(rows)), 1});
    const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(source, any, sums), Engine());
    return kernels_.emplace(key, Kernel{source, chosen.weights_desc(), sums, dnnl::matmul(chosen)})
        .first->second;
  }

  dnnl::stream stream_{Engine()};
  std::map<std::tuple<size_t, size_t, size_t>, Kernel> kernels_;
};

const std::unordered_map<int, const char*>& VnniSets() {
  static const std::unordered_map<int, const char*> sets = {
      {static_cast<int>(dnnl::cpu_isa::avx512_core_vnni), "avx512_core_vnni"},
      {static_cast<int>(dnnl::cpu_isa::avx512_core_bf16), "avx512_core_bf16"},
      {static_cast<int>(dnnl::cpu_isa::avx512_core_amx), "avx512_core_amx"},
      {static_cast<int>(dnnl::cpu_isa::avx2_vnni), "avx2_vnni"},
  };
  return sets;
}

}  // namespace

bool OneDnnIsExact() {
  return VnniSets().contains(static_cast<int>(dnnl::get_effective_cpu_isa()));
}

std::string OneDnnIsaName() {
  const auto found = VnniSets().find(static_cast<int>(dnnl::get_effective_cpu_isa()));
  return found == VnniSets().end() ? "below VNNI" : found->second;
}

std::unique_ptr<Product> MakeOneDnnProduct() { return std::make_unique<OneDnnProduct>(); }

}  // namespace hatchery

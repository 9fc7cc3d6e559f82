// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// int8 products by oneDNN, where its instruction set has VNNI. Without it, its s8 products go
// through 16-bit saturating adds and are wrong for full-range inputs.
#include <map>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "cpu_fallback/product.h"
#include "oneapi/dnnl/dnnl.hpp"
#include "oneapi/dnnl/dnnl_version.h"

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
  std::vector<int8_t> plain;  // as given to Pack
  memory weights;             // in the order of the kernel for kPackMembers
};

class OneDnnProduct : public Product {
 public:
  std::unique_ptr<PackedMatrix> Pack(const int8_t* w, size_t rows, size_t columns) override {
    auto packed = std::make_unique<OneDnnMatrix>();
    packed->rows = rows;
    packed->columns = columns;
    packed->plain.assign(w, w + rows * Padded(columns));
    packed->weights = Reordered(*packed, KernelFor(kPackMembers, rows, columns).weights);
    return packed;
  }

  void Multiply(const PackedMatrix& w, const int8_t* x, size_t members, int32_t* out) override {
    const auto& matrix = static_cast<const OneDnnMatrix&>(w);
    const Kernel& kernel = KernelFor(members, matrix.rows, matrix.columns);
    memory weights = matrix.weights;
    if (weights.get_desc() != kernel.weights) weights = Reordered(matrix, kernel.weights);
    memory source(kernel.source, Engine(), const_cast<int8_t*>(x));
    memory sums(kernel.sums, Engine(), out);
    kernel.matmul.execute(
        stream_, {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, sums}});
    stream_.wait();
  }

 private:
  // Weights are packed for as many members as a full batch has.
  static constexpr size_t kPackMembers = 128;

  struct Kernel {
    memory::desc source, weights, sums;
    dnnl::matmul matmul;
  };

  // The plain weights in the order `wanted`. Orders cannot be turned into one another.
  memory Reordered(const OneDnnMatrix& matrix, const memory::desc& wanted) {
    const memory::dim stride = Dim(Padded(matrix.columns));
    const memory::desc plain({stride, Dim(matrix.rows)}, memory::data_type::s8, {1, stride});
    memory source(plain, Engine(), const_cast<int8_t*>(matrix.plain.data()));
    memory packed(wanted, Engine());
    dnnl::reorder(source, packed).execute(stream_, source, packed);
    stream_.wait();
    return packed;
  }

  const Kernel& KernelFor(size_t members, size_t rows, size_t columns) {
    const auto key = std::make_tuple(members, rows, columns);
    if (auto found = kernels_.find(key); found != kernels_.end()) return found->second;
    const memory::dim k = Dim(Padded(columns));
    const memory::desc any({k, Dim(rows)}, memory::data_type::s8, memory::format_tag::any);
    if (members == kPackMembers)
      return kernels_.emplace(key, MakeKernel(members, k, any)).first->second;
    // One that reads the weights as they are packed, if there is one; else oneDNN's own choice,
    // for which they are packed anew at every call.
    const memory::desc packed = KernelFor(kPackMembers, rows, columns).weights;
    try {
      return kernels_.emplace(key, MakeKernel(members, k, packed)).first->second;
    } catch (const dnnl::error&) {
      return kernels_.emplace(key, MakeKernel(members, k, any)).first->second;
    }
  }

  Kernel MakeKernel(size_t members, memory::dim k, const memory::desc& weights) {
#if DNNL_VERSION_MAJOR >= 3
    const memory::dim rows = weights.get_dims()[1];
#else
    const memory::dim rows = weights.dims()[1];
#endif
    const memory::desc source({Dim(members), k}, memory::data_type::s8, {k, 1});
    const memory::desc sums({Dim(members), rows}, memory::data_type::s32,
                            {Dim(Padded(static_cast<size_t>(rows))), 1});
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc chosen(Engine(), source, weights, sums);
#else
    const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(source, weights, sums), Engine());
#endif
    return Kernel{source, chosen.weights_desc(), sums, dnnl::matmul(chosen)};
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
#if DNNL_VERSION_MAJOR >= 3
    {static_cast<int>(dnnl::cpu_isa::avx512_core_fp16), "avx512_core_fp16"},
#endif
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

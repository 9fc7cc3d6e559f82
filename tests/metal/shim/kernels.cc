// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Compiles the kernels as Metal would see them, in a namespace of their own: the host's half of the
// program compiles the same headers as C++.
#include "tests/metal/shim/kernels.h"

#include <tuple>
#include <type_traits>
#include <utility>

#define __METAL_VERSION__ 310
#define hatchery hatchery_in_metal
#include "metal/kernels/evaluate.metal"
#include "metal/kernels/noise.metal"
#include "metal/kernels/update.metal"
#undef hatchery
#undef kernel
#undef device
#undef constant
#undef threadgroup
#undef thread

static_assert(metal::EveryPlaceIsHeldOnce());

namespace shim {
namespace {

// A kernel's arguments are its buffers, one struct, and the five of HATCHERY_THREAD.
template <auto kKernel>
struct Bound;
template <typename... Arguments, void (*kKernel)(Arguments...)>
struct Bound<kKernel> {
  static constexpr size_t kBuffers = sizeof...(Arguments) - 6;
  using Types = std::tuple<Arguments...>;
  using Struct = std::remove_cvref_t<std::tuple_element_t<kBuffers, Types>>;

  static void Call(const Bindings& bindings, ThreadPosition position) {
    CallWith(bindings, position, std::make_index_sequence<kBuffers>());
  }

  template <size_t... kIndex>
  static void CallWith(const Bindings& bindings, ThreadPosition position,
                       std::index_sequence<kIndex...>) {
    kKernel(reinterpret_cast<std::tuple_element_t<kIndex, Types>>(bindings.buffers[kIndex])...,
            *reinterpret_cast<const Struct*>(bindings.arguments),
            reinterpret_cast<int8_t*>(bindings.shared), position.group, position.thread,
            position.thread % kSimdWidth, position.thread / kSimdWidth);
  }
};

template <auto kKernel>
constexpr KernelEntry Entry(const char* name) {
  using B = Bound<kKernel>;
  return {name, B::kBuffers, sizeof(typename B::Struct), &B::Call};
}

constexpr KernelEntry kEntries[] = {
    Entry<&DrawNoise>("DrawNoise"),           Entry<&EvaluateNear>("EvaluateNear"),
    Entry<&EvaluateFar>("EvaluateFar"),       Entry<&CheckProduct>("CheckProduct"),
    Entry<&UpdateMatrices>("UpdateMatrices"), Entry<&UpdateElements>("UpdateElements"),
    Entry<&DigestWords>("DigestWords"),
};

}  // namespace

std::span<const KernelEntry> Kernels() { return kEntries; }

}  // namespace shim

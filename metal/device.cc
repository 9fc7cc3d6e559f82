// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "metal/device.h"

#include "kernels/core/arithmetic.h"
#include "kernels/core/digest.h"
#include "metal/layout.h"

namespace hatchery::apple {
namespace {

// Two factors of kTile rows each. The first half of the rows of each is nothing but extremes.
void FillTrial(uint32_t columns, int8_t* value) {
  for (uint32_t i = 0; i < 2 * kTile * columns; ++i) {
    const uint32_t row = i / columns;
    const int32_t low = row < kTile ? -127 : -128;
    const int32_t any = core::ClipWeight(static_cast<int32_t>(core::Mix(i) & 0xFF) - 128);
    const int32_t extreme = row % 2 == 0 ? low : 127;
    value[i] = static_cast<int8_t>(row % kTile < kTile / 2 ? extreme : any);
  }
}

}  // namespace

const char* KernelName(Kernel kernel) {
  static constexpr const char* kNames[kKernels] = {
      "DrawNoise",      "EvaluateNear",   "EvaluateFar", "CheckProduct",
      "UpdateMatrices", "UpdateElements", "DigestWords"};
  return kNames[static_cast<size_t>(kernel)];
}

Status CheckThreads(Kernel kernel, uint64_t threads, uint64_t at_once) {
  constexpr uint32_t kSimdgroup = kThreads / kSimdgroups;
  if (threads >= kThreads && at_once == kSimdgroup) return {};
  return FailedPrecondition(
      std::string("the GPU runs kernel ") + KernelName(kernel) + " in groups of at most " +
      std::to_string(threads) + " threads, " + std::to_string(at_once) + " at a time; it needs " +
      std::to_string(kThreads) + " and " + std::to_string(kSimdgroup) + "; use --backend cpu");
}

Status CheckProducts(Device& device) {
  // In lengths that take every path through a product.
  for (const uint32_t columns : {kExactColumns + 32, kExactColumns + 128}) {
    HATCHERY_ASSIGN_OR_RETURN(const auto values,
                              device.Allocate(2 * kTile * columns, "a trial product"));
    HATCHERY_ASSIGN_OR_RETURN(const auto wrong,
                              device.Allocate(32 * sizeof(uint32_t), "a trial's outcome"));
    FillTrial(columns, values->as<int8_t>());
    const Batch batch = {
        {Kernel::kCheckProduct, {{values.get()}, {wrong.get()}}, Bytes(columns), 1, 256}};
    HATCHERY_RETURN_IF_ERROR(device.Run({&batch, 1}));
    for (uint32_t lane = 0; lane < 32; ++lane)
      if (wrong->as<uint32_t>()[lane] != 0)
        return FailedPrecondition("the matrix units of " + device.info().name +
                                  " do not add int8 products exactly; use --backend cpu");
  }
  return {};
}

StatusOr<std::unique_ptr<Device>> OpenDevice() {
  HATCHERY_ASSIGN_OR_RETURN(auto device, OpenMetal());
  HATCHERY_RETURN_IF_ERROR(CheckProducts(*device));
  return device;
}

}  // namespace hatchery::apple

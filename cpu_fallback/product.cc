// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "cpu_fallback/product.h"

#include "cpu_fallback/vector_ops.h"

#ifdef HATCHERY_ONEDNN
#include <omp.h>
#endif

namespace hatchery {

#ifndef HATCHERY_ONEDNN
bool OneDnnIsExact() { return false; }
std::string OneDnnIsaName() { return "not built in"; }
std::unique_ptr<Product> MakeOneDnnProduct() { return nullptr; }
#endif

#ifndef HATCHERY_ARM_DOT
bool DotIsAvailable() { return false; }
std::unique_ptr<Product> MakeDotProduct() { return nullptr; }
#endif

Status CheckProduct(CpuProduct product) {
  if (product == CpuProduct::kDot && !DotIsAvailable())
    return FailedPrecondition(
        "this processor has no dot-product instructions of Arm's; use the portable product");
  if (product != CpuProduct::kOneDnn || OneDnnIsExact()) return {};
  return FailedPrecondition(
      "oneDNN's int8 products saturate in 16 bits on this processor (instruction set " +
      OneDnnIsaName() + ", no VNNI); use the portable product");
}

CpuProduct ChooseProduct(CpuProduct product) {
  if (product != CpuProduct::kAuto) return product;
  if (OneDnnIsExact()) return CpuProduct::kOneDnn;
  return DotIsAvailable() ? CpuProduct::kDot : CpuProduct::kPortable;
}

std::unique_ptr<Product> MakeProduct(CpuProduct product) {
  if (product == CpuProduct::kOneDnn) return MakeOneDnnProduct();
  return product == CpuProduct::kDot ? MakeDotProduct() : MakePortableProduct();
}

std::string ProductName(CpuProduct product) {
  if (product == CpuProduct::kOneDnn) return "oneDNN " + OneDnnIsaName();
  if (product == CpuProduct::kDot) return "Arm dot products";
  return "portable " + vector_ops::TargetName();
}

void KeepProductsSingleThreaded() {
#ifdef HATCHERY_ONEDNN
  omp_set_num_threads(1);
#endif
}

}  // namespace hatchery

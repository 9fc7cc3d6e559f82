// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "bench/device_rates.h"

#ifdef HATCHERY_CUBLASLT
#include <cublasLt.h>
#endif

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/device.h"

namespace hatchery {
namespace {

using cuda::FromCuda;

// Two events around `calls` calls of `work`: seconds of one, the median of five rounds.
StatusOr<double> SecondsOnDevice(int calls, const std::function<Status()>& work) {
  cudaEvent_t raw[2] = {};
  HATCHERY_RETURN_IF_ERROR(FromCuda(cudaEventCreate(&raw[0]), "make an event"));
  const std::unique_ptr<CUevent_st, decltype(&cudaEventDestroy)> begin(raw[0], cudaEventDestroy);
  HATCHERY_RETURN_IF_ERROR(FromCuda(cudaEventCreate(&raw[1]), "make an event"));
  const std::unique_ptr<CUevent_st, decltype(&cudaEventDestroy)> end(raw[1], cudaEventDestroy);
  std::vector<double> seconds;
  for (int round = 0; round <= 5; ++round) {
    HATCHERY_RETURN_IF_ERROR(FromCuda(cudaEventRecord(begin.get()), "record an event"));
    for (int i = 0; i < calls; ++i) HATCHERY_RETURN_IF_ERROR(work());
    HATCHERY_RETURN_IF_ERROR(FromCuda(cudaEventRecord(end.get()), "record an event"));
    HATCHERY_RETURN_IF_ERROR(FromCuda(cudaEventSynchronize(end.get()), "measure"));
    float milliseconds = 0;
    HATCHERY_RETURN_IF_ERROR(
        FromCuda(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "read an event"));
    if (round > 0) seconds.push_back(milliseconds * 1e-3 / calls);  // the first warms up
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

}  // namespace

#ifdef HATCHERY_CUBLASLT
namespace {

Status FromCublas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  return InternalError(std::string("cuBLASLt: ") + what + ": " + cublasLtGetStatusString(status));
}

template <typename T>
using Owned = std::unique_ptr<T, cublasStatus_t (*)(T*)>;
using Matrix = Owned<cublasLtMatrixLayoutOpaque_t>;

StatusOr<Matrix> MakeMatrix(cudaDataType type, uint64_t rows, uint64_t columns) {
  cublasLtMatrixLayout_t raw = nullptr;
  HATCHERY_RETURN_IF_ERROR(
      FromCublas(cublasLtMatrixLayoutCreate(&raw, type, rows, columns, static_cast<int64_t>(rows)),
                 "describe a matrix"));
  return Matrix(raw, cublasLtMatrixLayoutDestroy);
}

Status FillRandom(cuda::Buffer<int8_t>& buffer, size_t size, const char* what) {
  std::minstd_rand random(1);
  std::vector<int8_t> values(size);
  for (int8_t& v : values) v = static_cast<int8_t>(random() >> 8);
  HATCHERY_RETURN_IF_ERROR(buffer.Allocate(size, what));
  return buffer.CopyFrom(values);
}

}  // namespace

StatusOr<double> MeasureProduct(uint32_t outputs, uint32_t inputs, uint32_t members) {
  constexpr size_t kWorkspace = size_t{32} << 20;
  cuda::Buffer<int8_t> weights, activations, workspace;
  cuda::Buffer<int32_t> sums;
  HATCHERY_RETURN_IF_ERROR(FillRandom(weights, size_t{outputs} * inputs, "a product's weights"));
  HATCHERY_RETURN_IF_ERROR(FillRandom(activations, size_t{inputs} * members, "a product's inputs"));
  HATCHERY_RETURN_IF_ERROR(sums.Allocate(size_t{outputs} * members, "a product's sums"));
  HATCHERY_RETURN_IF_ERROR(workspace.Allocate(kWorkspace, "a product's workspace"));

  cublasLtHandle_t raw_handle = nullptr;
  HATCHERY_RETURN_IF_ERROR(FromCublas(cublasLtCreate(&raw_handle), "begin"));
  const Owned<cublasLtContext> handle(raw_handle, cublasLtDestroy);
  cublasLtMatmulDesc_t raw_product = nullptr;
  HATCHERY_RETURN_IF_ERROR(
      FromCublas(cublasLtMatmulDescCreate(&raw_product, CUBLAS_COMPUTE_32I, CUDA_R_32I), "begin"));
  const Owned<cublasLtMatmulDescOpaque_t> product(raw_product, cublasLtMatmulDescDestroy);
  const cublasOperation_t transposed = CUBLAS_OP_T;  // int8 wants both along the inputs
  HATCHERY_RETURN_IF_ERROR(
      FromCublas(cublasLtMatmulDescSetAttribute(product.get(), CUBLASLT_MATMUL_DESC_TRANSA,
                                                &transposed, sizeof transposed),
                 "describe the product"));
  HATCHERY_ASSIGN_OR_RETURN(const Matrix a, MakeMatrix(CUDA_R_8I, inputs, outputs));
  HATCHERY_ASSIGN_OR_RETURN(const Matrix b, MakeMatrix(CUDA_R_8I, inputs, members));
  HATCHERY_ASSIGN_OR_RETURN(const Matrix c, MakeMatrix(CUDA_R_32I, outputs, members));
  cublasLtMatmulPreference_t raw_wish = nullptr;
  HATCHERY_RETURN_IF_ERROR(FromCublas(cublasLtMatmulPreferenceCreate(&raw_wish), "begin"));
  const Owned<cublasLtMatmulPreferenceOpaque_t> wish(raw_wish, cublasLtMatmulPreferenceDestroy);
  HATCHERY_RETURN_IF_ERROR(FromCublas(
      cublasLtMatmulPreferenceSetAttribute(wish.get(), CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                           &kWorkspace, sizeof kWorkspace),
      "describe the product"));
  cublasLtMatmulHeuristicResult_t best = {};
  int found = 0;
  HATCHERY_RETURN_IF_ERROR(
      FromCublas(cublasLtMatmulAlgoGetHeuristic(handle.get(), product.get(), a.get(), b.get(),
                                                c.get(), c.get(), wish.get(), 1, &best, &found),
                 "choose a kernel"));
  if (found == 0) return InternalError("cuBLASLt: it has no kernel for this product");
  const int32_t one = 1, zero = 0;
  HATCHERY_ASSIGN_OR_RETURN(
      const double seconds, SecondsOnDevice(10, [&] {
        return FromCublas(
            cublasLtMatmul(handle.get(), product.get(), &one, weights.data(), a.get(),
                           activations.data(), b.get(), &zero, sums.data(), c.get(), sums.data(),
                           c.get(), &best.algo, workspace.data(), kWorkspace, nullptr),
            "multiply");
      }));
  return 2.0 * outputs * inputs * members / seconds;
}
#else
StatusOr<double> MeasureProduct(uint32_t, uint32_t, uint32_t) {
  return NotFound("this hatchery-bench was built without cuBLASLt; install the CUDA Toolkit's");
}
#endif

StatusOr<double> MeasureCopy() {
  cuda::Buffer<int8_t> from, to;
  size_t bytes = size_t{1} << 31;
  while (true) {
    Status status = from.Allocate(bytes, "a copy's source");
    if (status.ok()) status = to.Allocate(bytes, "a copy's target");
    if (status.ok()) break;
    if (bytes <= size_t{1} << 26) return status;
    bytes /= 2;
  }
  HATCHERY_ASSIGN_OR_RETURN(
      const double seconds, SecondsOnDevice(4, [&] {
        return FromCuda(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice),
                        "copy");
      }));
  return 2.0 * static_cast<double>(bytes) / seconds;
}

}  // namespace hatchery

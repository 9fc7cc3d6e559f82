// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Owners of what CUDA hands out, and its errors as Status.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "kernels/status.h"

namespace hatchery::cuda {

// OK, or one line that names what was attempted.
inline Status FromCuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return {};
  return InternalError(std::string("CUDA: ") + what + ": " + cudaGetErrorString(error));
}

// Device memory for `size` values of T. Movable; freed with its owner.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { cudaFree(data_); }

  // Replaces what it held. `what` names the use in the error.
  Status Allocate(size_t size, const char* what) {
    cudaFree(std::exchange(data_, nullptr));
    size_ = 0;
    if (size == 0) return {};
    if (cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)) != cudaSuccess) {
      cudaGetLastError();
      data_ = nullptr;
      size_t free = 0, total = 0;
      cudaMemGetInfo(&free, &total);
      return ResourceExhausted("the GPU has " + std::to_string(free) + " bytes free of " +
                               std::to_string(total) + ", but " + what + " takes " +
                               std::to_string(size * sizeof(T)) +
                               "; stop other programs on it or use a smaller model");
    }
    size_ = size;
    return {};
  }

  Status CopyFrom(std::span<const T> values, size_t at = 0) {
    if (values.empty()) return {};
    return FromCuda(
        cudaMemcpy(data_ + at, values.data(), values.size_bytes(), cudaMemcpyHostToDevice),
        "copy to the device");
  }
  Status CopyTo(std::span<T> values, size_t at = 0) const {
    if (values.empty()) return {};
    return FromCuda(
        cudaMemcpy(values.data(), data_ + at, values.size_bytes(), cudaMemcpyDeviceToHost),
        "copy from the device");
  }

  T* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace hatchery::cuda

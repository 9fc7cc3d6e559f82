// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Owners of what CUDA hands out, and its errors as Status.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/status.h"

namespace hatchery::cuda {

// OK, or one line that names what was attempted.
inline Status FromCuda(cudaError_t error, std::string_view what) {
  if (error == cudaSuccess) return {};
  std::string line = "CUDA: " + std::string(what) + ": " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) return ResourceExhausted(std::move(line));
  return InternalError(std::move(line));
}

// How much device memory an owner of buffers may take; it must outlive them. 0: all that is free.
class MemoryLimit {
 public:
  explicit MemoryLimit(uint64_t bytes = 0) : bytes_(bytes) {}

  bool Take(uint64_t bytes) {
    if (bytes_ != 0 && bytes > bytes_ - taken_) return false;
    taken_ += bytes;
    return true;
  }
  void GiveBack(uint64_t bytes) { taken_ -= bytes; }
  // What is left of `free` bytes of the device.
  uint64_t Left(uint64_t free) const {
    return bytes_ != 0 && bytes_ - taken_ < free ? bytes_ - taken_ : free;
  }

 private:
  const uint64_t bytes_;
  uint64_t taken_ = 0;
};

// Device memory for `size` values of T. Movable; freed with its owner.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(MemoryLimit* limit) : limit_(limit) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(limit_, other.limit_);
    return *this;
  }
  ~Buffer() { Free(); }

  // Replaces what it held. `what` names the use in the error: kResourceExhausted if only memory is
  // short.
  Status Allocate(size_t size, const char* what) {
    Free();
    if (size == 0) return {};
    const uint64_t bytes = uint64_t{size} * sizeof(T);
    if (limit_ != nullptr && !limit_->Take(bytes)) return TooLarge(bytes, what);
    const cudaError_t error = cudaMalloc(reinterpret_cast<void**>(&data_), bytes);
    if (error == cudaSuccess) {
      size_ = size;
      return {};
    }
    cudaGetLastError();  // told here, so not by the next launch too
    data_ = nullptr;
    if (limit_ != nullptr) limit_->GiveBack(bytes);
    if (error == cudaErrorMemoryAllocation) return TooLarge(bytes, what);
    return FromCuda(error, std::string("allocate ") + what);
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
  Status TooLarge(uint64_t bytes, const char* what) const {
    size_t free = 0, total = 0;
    HATCHERY_RETURN_IF_ERROR(
        FromCuda(cudaMemGetInfo(&free, &total), "read the device's free memory"));
    return ResourceExhausted(
        "the GPU has " + std::to_string(limit_ == nullptr ? free : limit_->Left(free)) +
        " bytes free of " + std::to_string(total) + ", but " + what + " takes " +
        std::to_string(bytes) + "; stop other programs on it or use a smaller model");
  }
  void Free() {
    cudaFree(std::exchange(data_, nullptr));
    const uint64_t bytes = uint64_t{std::exchange(size_, 0)} * sizeof(T);
    if (limit_ != nullptr) limit_->GiveBack(bytes);
  }

  T* data_ = nullptr;
  size_t size_ = 0;
  MemoryLimit* limit_ = nullptr;
};

}  // namespace hatchery::cuda

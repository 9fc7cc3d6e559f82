// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// All that MetalReplica asks of a GPU, and no more, so that the same replica runs over Metal on a
// Mac (metal_device.mm) and, in tests, over a device that executes the kernels on the processor
// (tests/metal/shim).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/status.h"

namespace hatchery::apple {

// The kernels, as metal/kernels declares them; KernelName spells them.
enum class Kernel {
  kDrawNoise,
  kEvaluateNear,
  kEvaluateFar,
  kCheckProduct,
  kUpdateMatrices,
  kUpdateElements,
  kDigestWords,
};
inline constexpr size_t kKernels = 7;
const char* KernelName(Kernel kernel);

// OK if a GPU that runs `kernel` in threadgroups of at most `threads`, `at_once` of them in step,
// can run it as it is written.
Status CheckThreads(Kernel kernel, uint64_t threads, uint64_t at_once);

struct DeviceInfo {
  std::string name;              // "Apple M2 Max"
  std::string family;            // "Apple 8", the newest that it supports
  uint64_t memory_bytes = 0;     // that it may use without the system moving data away
  uint64_t allocated_bytes = 0;  // of that, by this process
  uint64_t largest_buffer_bytes = 0;
  uint32_t threadgroup_bytes = 0;  // memory of a threadgroup
};

// Memory that the processor and the GPU share. The processor touches it only between Runs, but for
// the word that asks a Run to stop, which parts of it not yet begun may or may not see in time.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual std::byte* data() = 0;
  virtual size_t size() const = 0;

  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(data());
  }
};

// `groups` threadgroups of kThreads threads run `kernel` on `buffers`, in the order of its
// arguments, and on `arguments`, the bytes of its struct, at most 4 KB.
struct Dispatch {
  struct Bound {
    Buffer* buffer;
    uint64_t offset = 0;  // where the kernel's pointer begins; a multiple of 8
  };
  Kernel kernel;
  std::vector<Bound> buffers;
  std::vector<std::byte> arguments;
  uint32_t groups = 0;
  uint32_t shared_bytes = 0;  // threadgroup memory, a multiple of 16
};

template <typename T>
std::vector<std::byte> Bytes(const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return {bytes.begin(), bytes.end()};
}

// Dispatches that the device takes at once: a command buffer.
using Batch = std::vector<Dispatch>;

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceInfo info() const = 0;

  // Zeroed memory; `what` names its use in the error.
  virtual StatusOr<std::unique_ptr<Buffer>> Allocate(uint64_t bytes, const char* what) = 0;

  // Hands over all batches, waits once, for the last. Dispatches run in order; each sees all that
  // those before it wrote.
  virtual Status Run(std::span<const Batch> batches) = 0;
};

// This machine's GPU, as Metal has it, its kernels compiled: in metal_device.mm, or, on other
// systems, no_metal.cc. kNotFound where there is none; any other error is why it is refused.
StatusOr<std::unique_ptr<Device>> OpenMetal();

// An error if the matrix units do not add int8 products exactly.
Status CheckProducts(Device& device);

// OpenMetal's, its products tried: what a replica is made on.
StatusOr<std::unique_ptr<Device>> OpenDevice();

}  // namespace hatchery::apple

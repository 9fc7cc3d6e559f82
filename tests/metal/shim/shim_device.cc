// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/metal/shim/shim_device.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <random>

#include "metal/layout.h"
#include "tests/metal/shim/fibers.h"
#include "tests/metal/shim/kernels.h"

namespace shim {
namespace {

using namespace hatchery;  // NOLINT: a test's own file

class ShimBuffer : public apple::Buffer {
 public:
  explicit ShimBuffer(size_t size)
      : size_(size), bytes_(new (std::align_val_t{64}) std::byte[size]) {
    std::memset(bytes_, 0, size);
  }
  ~ShimBuffer() override { ::operator delete[](bytes_, std::align_val_t{64}); }
  std::byte* data() override { return bytes_; }
  size_t size() const override { return size_; }

 private:
  size_t size_;
  std::byte* bytes_;
};

// As a GPU's time goes: fewer members than fill it take as long.
uint64_t MemberTokens(const apple::Batch& batch) {
  uint64_t tokens = 0;
  for (const apple::Dispatch& dispatch : batch) {
    if (dispatch.kernel != apple::Kernel::kEvaluateNear &&
        dispatch.kernel != apple::Kernel::kEvaluateFar)
      continue;
    apple::EvaluateArguments args;
    std::memcpy(&args, dispatch.arguments.data(), sizeof args);
    tokens += std::max<uint64_t>(args.count, 1024) * (args.end_token - args.first_token);
  }
  return tokens;
}

class ShimDevice : public apple::Device {
 public:
  ShimDevice(const DeviceSettings& settings, Counts* counts)
      : settings_(settings), counts_(counts), random_(settings.seed) {}

  apple::DeviceInfo info() const override {
    apple::DeviceInfo info;
    info.name = "Shim";
    info.family = "fibers";
    info.memory_bytes = info.largest_buffer_bytes = settings_.memory_bytes;
    info.threadgroup_bytes = settings_.threadgroup_bytes;
    return info;
  }

  StatusOr<std::unique_ptr<apple::Buffer>> Allocate(uint64_t bytes, const char* what) override {
    if (counts_) ++counts_->allocations;
    if (bytes > settings_.memory_bytes)
      return ResourceExhausted("the shim has no room for " + std::string(what));
    return std::unique_ptr<apple::Buffer>(std::make_unique<ShimBuffer>(bytes));
  }

  Status Run(std::span<const apple::Batch> batches) override {
    if (counts_) ++counts_->waits;
    for (const apple::Batch& batch : batches) {
      if (settings_.before) settings_.before(batch);
      if (counts_) ++counts_->batches;
      if (counts_) counts_->longest = std::max(counts_->longest, MemberTokens(batch));
      for (const apple::Dispatch& dispatch : batch) HATCHERY_RETURN_IF_ERROR(RunOne(dispatch));
    }
    return {};
  }

 private:
  Status RunOne(const apple::Dispatch& dispatch);

  const DeviceSettings settings_;
  Counts* const counts_;
  std::mt19937 random_;
  Fibers fibers_;
};

const KernelEntry* Find(const char* name) {
  for (const KernelEntry& entry : Kernels())
    if (std::strcmp(entry.name, name) == 0) return &entry;
  return nullptr;
}

// Metal would fail, or worse, on all that is refused here.
Status ShimDevice::RunOne(const apple::Dispatch& dispatch) {
  if (counts_) ++counts_->dispatches;
  const KernelEntry* entry = Find(apple::KernelName(dispatch.kernel));
  if (entry == nullptr) return InternalError("no such kernel");
  if (dispatch.buffers.size() != entry->buffers)
    return InternalError(std::string(entry->name) + " takes another number of buffers");
  if (dispatch.arguments.size() != entry->argument_bytes || entry->argument_bytes > 4096)
    return InternalError(std::string(entry->name) + " takes other arguments");
  if (dispatch.groups == 0) return InternalError("a dispatch of nothing");
  if (dispatch.shared_bytes % 16 != 0 || dispatch.shared_bytes > settings_.threadgroup_bytes)
    return InternalError("threadgroup memory of " + std::to_string(dispatch.shared_bytes));
  std::vector<std::byte*> buffers;
  for (const apple::Dispatch::Bound& bound : dispatch.buffers) {
    if (bound.buffer == nullptr || bound.offset % 8 != 0 || bound.offset >= bound.buffer->size())
      return InternalError(std::string(entry->name) + ": a bad buffer or offset");
    buffers.push_back(bound.buffer->data() + bound.offset);
  }
  if (settings_.dry) return {};
  ShimBuffer arguments(dispatch.arguments.size());
  std::memcpy(arguments.data(), dispatch.arguments.data(), dispatch.arguments.size());
  for (uint32_t group = 0; group < dispatch.groups; ++group) {
    ShimBuffer shared(std::max(dispatch.shared_bytes, 16u));
    for (size_t i = 0; i < shared.size(); ++i) shared.data()[i] = static_cast<std::byte>(random_());
    const Bindings bindings{buffers, arguments.data(), shared.data()};
    fibers_.Run(apple::kThreads, settings_.seed == 0 ? 0 : random_(), [&](uint32_t thread) {
      entry->function(bindings, {group, thread});
    });
    if (settings_.wrong_products && dispatch.kernel == apple::Kernel::kCheckProduct)
      dispatch.buffers[1].buffer->as<uint32_t>()[7] = 1;
  }
  return {};
}

}  // namespace

std::unique_ptr<apple::Device> MakeDevice(const DeviceSettings& settings, Counts* counts) {
  return std::make_unique<ShimDevice>(settings, counts);
}

}  // namespace shim

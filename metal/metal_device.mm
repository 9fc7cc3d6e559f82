// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The Device that Metal is. Nothing here knows of models: memory, kernels by name, command buffers.
#import <Foundation/Foundation.h>
#import <Metal/Metal.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "metal/device.h"
#include "metal/kernel_source.h"
#include "metal/layout.h"

namespace hatchery::apple {
namespace {

std::string Text(NSString* text) {
  return text == nil ? std::string() : std::string(text.UTF8String);
}

// In one line: a compiler's errors come in many.
std::string Text(NSError* error) {
  std::string text = error == nil ? "no reason given" : Text(error.localizedDescription);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// The GPU families that may have simdgroup matrices, the newest first. Each includes those before it.
// Macs have them from family 7 on. A virtual machine names family 5, whatever GPU stands behind it:
// there Metal itself accepts or refuses the kernels, and the replica tries the products.
struct Family {
  MTLGPUFamily family;
  const char* name;
};
constexpr Family kFamilies[] = {
    {MTLGPUFamilyApple9, "Apple 9"},  // M3, M4
    {MTLGPUFamilyApple8, "Apple 8"},  // M2
    {MTLGPUFamilyApple7, "Apple 7"},  // M1
    {MTLGPUFamilyApple5, "Apple 5"},  // virtual
};

const char* FamilyOf(id<MTLDevice> device) {
  for (const Family& family : kFamilies)
    if ([device supportsFamily:family.family]) return family.name;
  return nullptr;
}

class MetalBuffer : public Buffer {
 public:
  explicit MetalBuffer(id<MTLBuffer> buffer) : buffer_(buffer) {}
  std::byte* data() override { return static_cast<std::byte*>(buffer_.contents); }
  size_t size() const override { return buffer_.length; }
  id<MTLBuffer> buffer() const { return buffer_; }

 private:
  id<MTLBuffer> buffer_;
};

class MetalDevice : public Device {
 public:
  // Finds the GPU and compiles the kernels.
  Status Open();

  DeviceInfo info() const override;
  StatusOr<std::unique_ptr<Buffer>> Allocate(uint64_t bytes, const char* what) override;
  Status Run(std::span<const Batch> batches) override;

 private:
  Status Compile();
  void Encode(const Dispatch& dispatch, id<MTLComputeCommandEncoder> encoder) const;
  // Of a finished command buffer.
  Status Outcome(id<MTLCommandBuffer> commands) const;

  id<MTLDevice> device_ = nil;
  id<MTLCommandQueue> queue_ = nil;
  std::array<id<MTLComputePipelineState>, kKernels> pipelines_;
};

Status MetalDevice::Open() {
  device_ = MTLCreateSystemDefaultDevice();
  if (device_ == nil)
    return NotFound(
        "Metal finds no GPU (a virtual machine, or a session without one); use --backend cpu");
  if (FamilyOf(device_) == nullptr)
    return FailedPrecondition("the GPU, " + Text(device_.name) +
                              ", has no simdgroup matrices (Apple silicon has them); use "
                              "--backend cpu");
  queue_ = [device_ newCommandQueue];
  if (queue_ == nil) return Unavailable("Metal gives no command queue; try again");
  return Compile();
}

Status MetalDevice::Compile() {
  MTLCompileOptions* options = [[MTLCompileOptions alloc] init];
  options.languageVersion = MTLLanguageVersion3_0;
  NSError* error = nil;
  id<MTLLibrary> library =
      [device_ newLibraryWithSource:[NSString stringWithUTF8String:KernelSource().c_str()]
                            options:options
                              error:&error];
  // Warnings come as an error beside a library.
  if (library == nil) return InternalError("Metal does not compile the kernels: " + Text(error));
  for (size_t k = 0; k < kKernels; ++k) {
    const auto kernel = static_cast<Kernel>(k);
    const char* name = KernelName(kernel);
    id<MTLFunction> function = [library newFunctionWithName:[NSString stringWithUTF8String:name]];
    if (function == nil) return InternalError(std::string("Metal finds no kernel ") + name);
    pipelines_[k] = [device_ newComputePipelineStateWithFunction:function error:&error];
    if (pipelines_[k] == nil)
      return FailedPrecondition(std::string("Metal refuses kernel ") + name + ": " + Text(error) +
                                "; use --backend cpu");
    HATCHERY_RETURN_IF_ERROR(CheckThreads(kernel, pipelines_[k].maxTotalThreadsPerThreadgroup,
                                          pipelines_[k].threadExecutionWidth));
  }
  return {};
}

DeviceInfo MetalDevice::info() const {
  DeviceInfo info;
  info.name = Text(device_.name);
  info.family = FamilyOf(device_);
  info.memory_bytes = device_.recommendedMaxWorkingSetSize;
  info.allocated_bytes = device_.currentAllocatedSize;
  info.largest_buffer_bytes = device_.maxBufferLength;
  info.threadgroup_bytes = static_cast<uint32_t>(device_.maxThreadgroupMemoryLength);
  return info;
}

StatusOr<std::unique_ptr<Buffer>> MetalDevice::Allocate(uint64_t bytes, const char* what) {
  const DeviceInfo now = info();
  id<MTLBuffer> buffer = nil;
  // More than recommended would be lent, and then fail or swap when it is used.
  if (bytes <= now.largest_buffer_bytes && now.allocated_bytes + bytes <= now.memory_bytes)
    buffer = [device_ newBufferWithLength:bytes options:MTLResourceStorageModeShared];
  if (buffer == nil)
    return ResourceExhausted("the GPU may use " + std::to_string(now.memory_bytes) +
                             " bytes, of which this program has " +
                             std::to_string(now.allocated_bytes) + ", but " + what + " takes " +
                             std::to_string(bytes) + "; use a smaller model or --backend cpu");
  std::memset(buffer.contents, 0, bytes);
  return std::unique_ptr<Buffer>(std::make_unique<MetalBuffer>(buffer));
}

void MetalDevice::Encode(const Dispatch& dispatch, id<MTLComputeCommandEncoder> encoder) const {
  [encoder setComputePipelineState:pipelines_[static_cast<size_t>(dispatch.kernel)]];
  NSUInteger index = 0;
  for (const Dispatch::Bound& bound : dispatch.buffers) {
    [encoder setBuffer:static_cast<MetalBuffer*>(bound.buffer)->buffer()
                offset:bound.offset
               atIndex:index++];
  }
  [encoder setBytes:dispatch.arguments.data() length:dispatch.arguments.size() atIndex:index];
  // Every kernel has the argument, so every one needs some.
  [encoder setThreadgroupMemoryLength:dispatch.shared_bytes < 16 ? 16 : dispatch.shared_bytes
                              atIndex:0];
  [encoder dispatchThreadgroups:MTLSizeMake(dispatch.groups, 1, 1)
          threadsPerThreadgroup:MTLSizeMake(kThreads, 1, 1)];
}

Status MetalDevice::Outcome(id<MTLCommandBuffer> commands) const {
  if (commands.status == MTLCommandBufferStatusCompleted) return {};
  return InternalError("the GPU did not finish its work: " + Text(commands.error));
}

Status MetalDevice::Run(std::span<const Batch> batches) {
  @autoreleasepool {
    NSMutableArray<id<MTLCommandBuffer>>* all = [NSMutableArray array];
    Status begun;
    for (const Batch& batch : batches) {
      if (batch.empty()) continue;
      // Waits by itself where the queue holds as many as it can.
      id<MTLCommandBuffer> commands = [queue_ commandBuffer];
      // The dispatches of an encoder run one after the other, each sees the writes of those before.
      id<MTLComputeCommandEncoder> encoder = [commands computeCommandEncoder];
      if (commands == nil || encoder == nil) {
        begun = Unavailable("Metal gives no command buffer; try again");
        break;  // what runs already uses the caller's buffers: wait for it below
      }
      for (const Dispatch& dispatch : batch) Encode(dispatch, encoder);
      [encoder endEncoding];
      [commands commit];
      [all addObject:commands];
    }
    if (all.count == 0) return begun;
    [all.lastObject waitUntilCompleted];  // and so all of them: a queue works in order
    for (id<MTLCommandBuffer> commands in all) HATCHERY_RETURN_IF_ERROR(Outcome(commands));
    return begun;
  }
}

}  // namespace

StatusOr<std::unique_ptr<Device>> OpenMetal() {
  @autoreleasepool {
    auto device = std::make_unique<MetalDevice>();
    HATCHERY_RETURN_IF_ERROR(device->Open());
    return std::unique_ptr<Device>(std::move(device));
  }
}

}  // namespace hatchery::apple

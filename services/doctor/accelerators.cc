// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The backends besides the CPU's, and what gangs of them need. Another backend adds its own
// function here and to checks.h.
#include "metal/device.h"
#include "services/common/memory.h"
#include "services/doctor/checks.h"
#include "services/gang/versions.h"
#if HATCHERY_HAS_CUDA
#include "kernels/cuda/device_info.h"
#endif

namespace hatchery::doctor {

namespace {
constexpr uint64_t kLittleMetalMemory = uint64_t{1} << 30;
}

#if HATCHERY_HAS_CUDA
namespace {

constexpr int kOldestMajor = 8;  // CMAKE_CUDA_ARCHITECTURES begins with it
constexpr uint64_t kLittleMemory = uint64_t{1} << 30;

// 12040 is 12.4.
std::string Version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

Check JudgeDevice(size_t index, const CudaDeviceInfo& device) {
  const std::string what = "gpu " + std::to_string(index);
  if (!device.usable.ok())
    return {Verdict::kBad, what, device.name + ": " + device.usable.message(),
            "see nvidia-smi; leave it out with --devices, or stop the program that holds it"};
  const std::string text = device.name + ", compute capability " + std::to_string(device.major) +
                           "." + std::to_string(device.minor) + ", " +
                           std::to_string(device.multiprocessors) + " multiprocessors, " +
                           FormatBytes(device.free_bytes) + " free of " +
                           FormatBytes(device.total_bytes);
  if (device.major < kOldestMajor)
    return {Verdict::kBad, what, text,
            "this build has code for 8.0 (Ampere) and newer; leave the device out with --devices, "
            "or use --backend cpu"};
  if (device.free_bytes < kLittleMemory)
    return {Verdict::kWarn, what, text, "stop other programs on it (nvidia-smi lists them)"};
  return {Verdict::kOk, what, text};
}

}  // namespace

Checks CheckCuda() {
  const StatusOr<CudaInfo> info = ReadCudaInfo();
  if (!info.ok())
    return {{Verdict::kBad, "cuda", info.status().message(),
             "install an NVIDIA driver that fits this CUDA runtime, or use --backend cpu"}};
  const std::string runtime = "runtime " + Version(info->runtime_version);
  if (info->driver_version == 0)
    return {{Verdict::kWarn, "cuda", runtime + ", no driver; the CPU does the work",
             "install the NVIDIA driver if this machine has a GPU"}};
  const std::string text = "driver for " + Version(info->driver_version) + ", " + runtime;
  if (info->driver_version < info->runtime_version)
    return {{Verdict::kWarn, "cuda", text + ": the driver is the older of the two",
             "update the NVIDIA driver if a GPU is not found, or fails"}};
  Checks checks = {{Verdict::kOk, "cuda", text}};
  if (info->devices.empty())
    checks[0] = {Verdict::kWarn, "cuda", text + ", no device in sight; the CPU does the work",
                 "check nvidia-smi and CUDA_VISIBLE_DEVICES; a container needs --gpus all"};
  for (size_t i = 0; i < info->devices.size(); ++i)
    checks.push_back(JudgeDevice(i, info->devices[i]));
  return checks;
}
#else
Checks CheckCuda() {
  return {{Verdict::kOk, "cuda",
           "not built with CUDA: the CPU does the work (a build on a machine with the CUDA Toolkit "
           "has it)"}};
}
#endif

Check JudgeMetal(const StatusOr<apple::DeviceInfo>& info, bool apple_machine) {
  const bool none = !info.ok() && info.status().code() == StatusCode::kNotFound;
  if (none && !apple_machine) return {Verdict::kOk, "metal", "none: not an Apple machine"};
  if (none)
    return {Verdict::kWarn, "metal", info.status().message(),
            "the CPU does the work; log in at the machine itself, or use one with Apple silicon"};
  if (!info.ok())
    return {Verdict::kWarn, "metal", "refused: " + info.status().message(),
            "the CPU does the work; update macOS, and report it if this is Apple silicon"};
  const std::string text = info->name + ", family " + info->family + ", may use " +
                           FormatBytes(info->memory_bytes) + ", of which " +
                           FormatBytes(info->allocated_bytes) + " taken by this program";
  if (info->memory_bytes < kLittleMetalMemory)
    return {Verdict::kWarn, "metal", text, "stop other programs that use the GPU"};
  return {Verdict::kOk, "metal", text};
}

Checks CheckMetal() {
#if defined(__APPLE__)
  constexpr bool kApple = true;
#else
  constexpr bool kApple = false;
#endif
  const auto device = apple::OpenDevice();
  return {JudgeMetal(device.ok() ? StatusOr<apple::DeviceInfo>((*device)->info()) : device.status(),
                     kApple)};
}

Checks CheckGang() {
  const std::string mpi = MpiVersion(), nccl = NcclVersion();
  return {{Verdict::kOk, "mpi", mpi.empty() ? "not built with MPI: no gangs under mpirun" : mpi},
          {Verdict::kOk, "nccl",
           nccl.empty() ? "not built with NCCL: scores of gangs travel through MPI" : nccl}};
}

}  // namespace hatchery::doctor

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/backend.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <numeric>
#include <string_view>

#include "cpu_fallback/cpu_replica.h"
#include "kernels/gang.h"
#include "metal/metal_replica.h"
#include "services/common/memory.h"
#include "services/common/printable.h"
#if HATCHERY_HAS_CUDA
#include "kernels/cuda/cuda_replica.h"
#endif

namespace hatchery {
namespace {

#if HATCHERY_HAS_CUDA
StatusOr<std::unique_ptr<Replica>> CreateCuda(const JobSpec& spec, DataView data, int device) {
  CudaOptions options;
  options.device = device;
  return CreateCudaReplica(spec, data, options);
}
#else
int CudaDeviceCount() { return 0; }
Status CheckCudaDevice(int device) {
  return NotFound("there is no CUDA device " + std::to_string(device) +
                  ", as this build has no CUDA backend; use --backend cpu");
}
StatusOr<std::unique_ptr<Replica>> CreateCuda(const JobSpec&, DataView, int) {
  return FailedPrecondition("this build has no CUDA backend; use --backend cpu");
}
#endif

bool GpusAreDisabled() {
  const char* text = std::getenv("HATCHERY_DISABLE_GPU");
  return text != nullptr && *text != '\0' && std::string_view(text) != "0";
}

// OK if the backend exists and the environment allows it.
Status CheckBackend(const BackendOptions& options) {
  if (std::find(std::begin(kBackendNames), std::end(kBackendNames), options.name) ==
      std::end(kBackendNames))
    return InvalidArgument("unknown backend '" + options.name +
                           "'; there are auto, cpu, cuda and metal");
  if (!options.devices.empty() && (options.name == "cpu" || options.name == "metal"))
    return InvalidArgument("--devices " + options.devices +
                           " names CUDA devices, but the backend is " + options.name +
                           "; leave out one of the two");
  if (!GpusAreDisabled()) return {};
  const std::string asked = !options.devices.empty() ? "--devices " + options.devices
                            : options.name == "cuda" || options.name == "metal"
                                ? "--backend " + options.name
                                : "";
  if (asked.empty()) return {};
  return InvalidArgument(asked + " asks for a GPU, but HATCHERY_DISABLE_GPU is set; unset it, or " +
                         "use --backend cpu");
}

// The GPU of an Apple machine, for "auto"; null where there is none, or, as is then told, none that
// serves.
std::unique_ptr<apple::Device> OpenAppleGpu(const BackendOptions& options) {
  if (GpusAreDisabled()) return nullptr;
  auto device = apple::OpenDevice();
  if (device.ok()) return std::move(*device);
  static std::atomic_flag told;
  if (device.status().code() != StatusCode::kNotFound && !told.test_and_set()) {
    const std::string line =
        "the GPU is refused, the CPU does the work: " + device.status().message();
    if (options.on_gpu_refused)
      options.on_gpu_refused(line);
    else
      std::fprintf(stderr, "hatchery: %s\n", Printable(line).c_str());
  }
  return nullptr;
}

std::vector<int> AllDevices() {
  if (GpusAreDisabled()) return {};
  std::vector<int> devices(CudaDeviceCount());
  std::iota(devices.begin(), devices.end(), 0);
  return devices;
}

StatusOr<std::unique_ptr<Replica>> CreateOnDevices(const JobSpec& spec, DataView data,
                                                   const std::vector<int>& devices) {
  return CreateGang(devices, [&](int device) { return CreateCuda(spec, data, device); });
}

}  // namespace

StatusOr<std::vector<int>> ChooseDevices(const BackendOptions& options) {
  HATCHERY_RETURN_IF_ERROR(CheckBackend(options));
  if (options.devices.empty()) {
    if (options.name == "cpu" || options.name == "metal") return std::vector<int>();
    // Where there is none, device 0's absence becomes an error that says so.
    if (options.name == "cuda" && CudaDeviceCount() == 0) return std::vector<int>{0};
    return AllDevices();
  }
  HATCHERY_ASSIGN_OR_RETURN(const auto devices, ParseDevices(options.devices));
  for (const int device : devices)
    if (const Status there = CheckCudaDevice(device); !there.ok())
      return NotFound("--devices " + options.devices + ": " + there.message());
  return devices;
}

StatusOr<std::unique_ptr<Replica>> CreateReplica(const JobSpec& spec, DataView data,
                                                 const BackendOptions& options) {
  HATCHERY_ASSIGN_OR_RETURN(auto devices, ChooseDevices(options));
  // Without data there is nothing to split.
  const bool divisible = !data.train.empty() || !data.held_out.empty();
  if (options.devices.empty() && !divisible && devices.size() > 1) devices = {devices[0]};
  if (!devices.empty()) return CreateOnDevices(spec, data, devices);
  if (options.name == "metal") return CreateMetalReplica(spec, data);
  if (options.name == "auto")
    if (auto gpu = OpenAppleGpu(options)) return CreateMetalReplica(std::move(gpu), spec, data);
  HATCHERY_RETURN_IF_ERROR(spec.Validate());
  const CpuMemory memory = CpuMemoryOf(spec, options.threads);
  if (divisible) {
    HATCHERY_RETURN_IF_ERROR(CheckMemory("training this model here", memory.total()));
  } else {
    HATCHERY_RETURN_IF_ERROR(CheckMemory("a replica of this model", memory.weights));
  }
  CpuOptions cpu;
  cpu.threads = options.threads;
  return CreateCpuReplica(spec, data, cpu);
}

ReplicaFactory FactoryOf(const BackendOptions& options) {
  return
      [options](const JobSpec& spec, DataView data) { return CreateReplica(spec, data, options); };
}

}  // namespace hatchery

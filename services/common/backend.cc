// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/backend.h"

#include "cpu_fallback/cpu_replica.h"
#if HATCHERY_HAS_CUDA
#include "kernels/cuda/cuda_replica.h"
#endif

namespace hatchery {
namespace {

#if HATCHERY_HAS_CUDA
bool HasCudaDevice() { return CudaDeviceCount() > 0; }
StatusOr<std::unique_ptr<Replica>> CreateCuda(const JobSpec& spec, DataView data) {
  return CreateCudaReplica(spec, data);
}
#else
bool HasCudaDevice() { return false; }
StatusOr<std::unique_ptr<Replica>> CreateCuda(const JobSpec&, DataView) {
  return FailedPrecondition("this build has no CUDA backend; use --backend cpu");
}
#endif

}  // namespace

StatusOr<std::unique_ptr<Replica>> CreateReplica(const JobSpec& spec, DataView data,
                                                 const BackendOptions& options) {
  if (options.name == "cuda" || (options.name == "auto" && HasCudaDevice()))
    return CreateCuda(spec, data);
  if (options.name == "auto" || options.name == "cpu") {
    CpuOptions cpu;
    cpu.threads = options.threads;
    return CreateCpuReplica(spec, data, cpu);
  }
  return InvalidArgument("unknown backend '" + options.name + "'; there are auto, cpu and cuda");
}

}  // namespace hatchery

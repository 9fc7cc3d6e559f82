// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/backend.h"

#include "cpu_fallback/cpu_replica.h"

namespace hatchery {

StatusOr<std::unique_ptr<Replica>> CreateReplica(const JobSpec& spec, DataView data,
                                                 const BackendOptions& options) {
  if (options.name == "auto" || options.name == "cpu") {
    CpuOptions cpu;
    cpu.threads = options.threads;
    return CreateCpuReplica(spec, data, cpu);
  }
  if (options.name == "cuda")
    return FailedPrecondition("this build has no CUDA backend; use --backend cpu");
  return InvalidArgument("unknown backend '" + options.name + "'; there are auto, cpu and cuda");
}

}  // namespace hatchery

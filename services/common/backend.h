// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/replica.h"
#include "kernels/status.h"

namespace hatchery {

inline constexpr const char* kBackendNames[] = {"auto", "cpu", "cuda", "metal"};

struct BackendOptions {
  std::string name = "auto";  // one of kBackendNames
  unsigned threads = 0;       // of the CPU backend; 0: one a hardware thread
  std::string devices = {};   // of the CUDA backend: "0,2"; empty: all
  // Told in a line, once a process, why "auto" leaves an Apple GPU unused; unless given, stderr is.
  std::function<void(const std::string& line)> on_gpu_refused = {};
};

// A replica at step 0 with initial weights, on the named backend; "auto" takes the fastest that is
// built in and has a device, of Apple's one that is not refused. HATCHERY_DISABLE_GPU=1 in the
// environment makes that the CPU's, and an error of a GPU asked for by name. On several devices it
// is a gang of one member each. `data` may be empty for replay, digest, and sampling; one device
// then does unless more are named.
StatusOr<std::unique_ptr<Replica>> CreateReplica(const JobSpec& spec, DataView data,
                                                 const BackendOptions& options);

// The CUDA devices that `options` come to, of those that this process can use: those named, else
// all; none if the backend is another. An error names a device that does not exist.
StatusOr<std::vector<int>> ChooseDevices(const BackendOptions& options);

// Makes replicas, of whatever was chosen when this was made.
using ReplicaFactory =
    std::function<StatusOr<std::unique_ptr<Replica>>(const JobSpec& spec, DataView data)>;
ReplicaFactory FactoryOf(const BackendOptions& options);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "services/common/backend.h"
#include "services/gang/device_ids.h"

namespace hatchery {

// How many processes this one was started with by mpirun or srun, as the environment tells; 1 if it
// was started alone.
uint32_t RanksLaunched();

// Where a rank is among those of its machine.
struct LocalPlace {
  std::string host;
  uint32_t rank = 0, ranks = 1;  // on this host
  uint32_t processors = 1;       // that this rank may run on,
  uint32_t sharers = 1;          // and how many ranks of the host, itself included, run on the same
  // Of each rank of this host: the devices that it may use, in its own order.
  std::vector<std::vector<DeviceId>> devices = {};
};

// Which of the devices that it may use this rank takes: the first that is left when every rank
// before it on the host has taken one so. Ranks that all see the same devices take one each, in
// order; one that was bound to a device (Slurm's --gpus-per-task, CUDA_VISIBLE_DEVICES) takes that.
// An error if none is left.
StatusOr<size_t> OwnDevice(const LocalPlace& place);

// What a rank computes on, of what `options` allow to all: a device of its own, or its share of the
// processors. An error if there are more ranks than devices.
StatusOr<BackendOptions> BackendOfRank(const BackendOptions& options, const LocalPlace& place);

}  // namespace hatchery

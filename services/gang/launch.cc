// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/gang/launch.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "services/common/counted.h"

namespace hatchery {
namespace {

uint32_t FromEnvironment(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? 0 : static_cast<uint32_t>(std::strtoul(text, nullptr, 10));
}

}  // namespace

uint32_t RanksLaunched() {
  // Open MPI's mpirun; then MPICH's, and srun --mpi=pmi2.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"})
    if (const uint32_t ranks = FromEnvironment(name)) return ranks;
  // srun --mpi=pmix. Without PMIX_RANK the tasks of a step are processes of their own.
  if (std::getenv("PMIX_RANK") != nullptr)
    return std::max(1u, FromEnvironment("SLURM_STEP_NUM_TASKS"));
  return 1;
}

StatusOr<size_t> OwnDevice(const LocalPlace& place) {
  std::set<DeviceId> taken, all;
  for (const auto& devices : place.devices) all.insert(devices.begin(), devices.end());
  for (uint32_t rank = 0; rank <= place.rank; ++rank) {
    const std::vector<DeviceId>& devices = place.devices[rank];
    const auto free = std::find_if(devices.begin(), devices.end(),
                                   [&](const DeviceId& id) { return !taken.contains(id); });
    if (free == devices.end()) continue;
    if (rank == place.rank) return static_cast<size_t>(free - devices.begin());
    taken.insert(*free);
  }
  return InvalidArgument(place.host + " has " + Counted(place.ranks, "rank") + " for " +
                         Counted(all.size(), "CUDA device") +
                         (place.ranks > all.size() ? "" : ", but they were not given one each") +
                         "; start one rank a device, or use --backend cpu");
}

StatusOr<BackendOptions> BackendOfRank(const BackendOptions& options, const LocalPlace& place) {
  HATCHERY_ASSIGN_OR_RETURN(const auto devices, ChooseDevices(options));
  BackendOptions own = options;
  if (options.name == "metal")
    return InvalidArgument("a Mac has one GPU, which ranks cannot share; use --backend cpu");
  if (devices.empty()) {
    own.name = "cpu";
    if (own.threads == 0) own.threads = std::max(1u, place.processors / place.sharers);
    return own;
  }
  HATCHERY_ASSIGN_OR_RETURN(const size_t mine, OwnDevice(place));
  own.name = "cuda";
  own.devices = std::to_string(devices[mine]);
  return own;
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "services/common/backend.h"

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
};

// What a rank computes on, of what `options` allow to all: the device of its local rank, or its
// share of the processors. An error if there are more ranks than devices.
StatusOr<BackendOptions> BackendOfRank(const BackendOptions& options, const LocalPlace& place);

}  // namespace hatchery

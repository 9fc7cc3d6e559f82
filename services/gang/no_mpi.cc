// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// In place of mpi_gang.cc, in a build without MPI.
#include <string>

#include "services/gang/gang.h"
#include "services/gang/launch.h"

namespace hatchery {

StatusOr<std::unique_ptr<Gang>> Gang::Join(const BackendOptions&) {
  const uint32_t ranks = RanksLaunched();
  if (ranks <= 1) return std::unique_ptr<Gang>();
  return FailedPrecondition("started as one of " + std::to_string(ranks) +
                            " ranks, but this was built without MPI; install Open MPI and build "
                            "again, or start it without mpirun");
}

}  // namespace hatchery

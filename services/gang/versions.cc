// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/gang/versions.h"

#if HATCHERY_HAS_MPI
#include <mpi.h>
#endif
#if HATCHERY_HAS_NCCL
#include <nccl.h>
#endif

namespace hatchery {

std::string MpiVersion() {
#if HATCHERY_HAS_MPI
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "of unknown version";
  const std::string version(text, static_cast<size_t>(length));
  return version.substr(0, version.find_first_of(",\n"));
#else
  return "";
#endif
}

std::string NcclVersion() {
#if HATCHERY_HAS_NCCL
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "of unknown version";
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
#else
  return "";
#endif
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>

namespace hatchery {

// Lets this process open as many files and connections as the system allows it. Systems start
// programs with 1,024, for the sake of old ones that use select(); a coordinator needs one a worker.
inline void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>

#include <algorithm>

namespace hatchery {

// Lets this process open as many files and connections as the system allows it. Systems start
// programs with 1,024, for the sake of old ones that use select(); a coordinator needs one a
// worker.
inline void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return;
  // macOS says that there is no limit and then takes no more than its OPEN_MAX (setrlimit(2)
  // there).
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 10240);
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace hatchery

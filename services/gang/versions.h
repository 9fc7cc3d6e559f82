// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace hatchery {

// The libraries that gangs use, as they call themselves: "Open MPI v4.1.4", "2.21.5"; empty: not
// built in. Neither is started for it.
std::string MpiVersion();
std::string NcclVersion();

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "services/common/self_description.h"

namespace hatchery {

// What hatchery.1 says besides the commands.
Manual ClientManual();

}  // namespace hatchery

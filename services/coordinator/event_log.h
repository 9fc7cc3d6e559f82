// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hatchery/v1/coordinator.pb.h"
#include "services/common/log_line.h"

namespace hatchery::coordinator {

// How an event of the core is logged: as an error if a job stops for it or a worker proved to be
// wrong, as a warning if something was lost that is made up for.
LogLine LineOf(const v1::Event& event);

// A committed step, for those who log at level debug.
LogLine LineOf(const std::string& job, const v1::JobUpdate& update);

}  // namespace hatchery::coordinator

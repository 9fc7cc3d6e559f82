// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "services/report/figures.h"

namespace hatchery {

// What is known of the run in `directory`: from its journal, and, with `replay`, from a replay of
// it, whose progress is shown on stderr if that is a terminal.
StatusOr<report::Run> ReadRun(const std::string& directory,
                              std::optional<report::ReplayHistoryOptions> replay);

// OK if `path`, of `option`, can be written to: its directory is there, and it ends with one of
// `endings` (".svg"), so that it names no file of a run by mistake. To be asked before a long
// replay.
Status CheckOutput(const std::string& option, const std::string& path,
                   const std::vector<std::string>& endings);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "kernels/status.h"
#include "services/common/disk.h"
#include "services/common/file_report.h"
#include "services/common/run_check.h"

namespace hatchery {

// Checks a coordinator's data directory: the catalogue, every job's run, every uploaded file. Of
// `options`, what the catalogue tells is filled in here.
Status CheckDataDir(Disk& disk, const std::string& directory, const RunCheckOptions& options,
                    const ReportSink& report);

}  // namespace hatchery

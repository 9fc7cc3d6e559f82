// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The subcommands of `hatchery`: one file each, each adding itself to the command line.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "services/common/backend.h"

namespace CLI {
class App;
}

namespace hatchery {

// Makes `action` what the subcommand does. An error is printed as one line on stderr, and the
// process exits with 1, or, if it was asked to stop, with 75.
void SetAction(CLI::App* subcommand, std::function<Status()> action);

// Adds --backend, --threads and --devices, which fill `options`.
void AddBackendOptions(CLI::App& command, BackendOptions& options);
// --threads alone.
void AddThreadsOption(CLI::App& command, BackendOptions& options);
// Adds --set FIELD=VALUE, one value at a time.
void AddSetOption(CLI::App& command, std::vector<std::string>& sets);

void AddDescribeCommand(CLI::App& app);
void AddDataCommand(CLI::App& app);
void AddEvalCommand(CLI::App& app);
void AddSampleCommand(CLI::App& app);
void AddDigestCommand(CLI::App& app);
void AddTrainCommand(CLI::App& app);
void AddReplayCommand(CLI::App& app);
void AddAuditCommand(CLI::App& app);
void AddReportCommand(CLI::App& app);
void AddPlotCommand(CLI::App& app);
void AddExportMetricsCommand(CLI::App& app);
void AddFsckCommand(CLI::App& app);
void AddBackupCommand(CLI::App& app);
void AddCompletionCommand(CLI::App& app);
void AddDoctorCommand(CLI::App& app);
void AddHealthCommand(CLI::App& app);
void AddSubmitCommand(CLI::App& app);
// jobs, watch, top, pause, resume, cancel, workers, events, fetch.
void AddOnlineCommands(CLI::App& app);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The log of coordinator and worker: one line an event on stderr, as text for people,
//   2026-01-31T12:00:00.123Z info worker_joined job=12 step=40 worker=w3: host/4711, cpu: 8 threads
// or as one JSON object a line for those who collect logs:
//   {"time":"2026-01-31T12:00:00.123Z","level":"info","event":"worker_joined","job":"12","step":40,
//    "worker":"w3","message":"host/4711, cpu: 8 threads"}
// Times are UTC; fields that do not apply are left out. Whatever is in a text, it cannot begin a
// new line, forge a field before the message, or reach the terminal as a control character.
#pragma once

#include <string>

#include "services/common/log_line.h"

namespace CLI {
class App;
}

namespace hatchery {

struct LogOptions {
  std::string format = "text";  // or "json"
  std::string level = "info";   // the least that is written: debug, info, warning or error
};
// --log-format and --log-level.
void AddLogOptions(CLI::App& app, LogOptions& options);

// Sets up what WriteLog writes to. Call it once, before other threads may log.
void StartLog(const LogOptions& options);
// Thread-safe. Errors are flushed at once, all else at the latest when the program ends.
void WriteLog(const LogLine& line);

// A line without its time and level, which the logger puts before it, in either format. The JSON
// form lacks the opening brace.
std::string LogText(const LogLine& line);
std::string LogJson(const LogLine& line);

}  // namespace hatchery

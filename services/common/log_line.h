// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hatchery {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One event, for people and for those who collect logs; log.h writes it. The texts may be a peer's,
// as they came.
struct LogLine {
  LogLevel level = LogLevel::kInfo;
  std::string event;    // one word: "worker_joined"
  std::string message;  // for people
  // What it is about; empty or absent: nothing in particular.
  std::string job = {};
  std::optional<uint32_t> step = {};
  std::string worker = {};
};

}  // namespace hatchery

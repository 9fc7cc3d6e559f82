// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace hatchery {

// What a check found out about one file.
struct FileReport {
  enum class State {
    kOk,
    kLeftover,  // of a crash or an earlier repair; harmless
    kRepaired,  // was damaged
    kDamaged,
  };
  std::string path;
  State state = State::kOk;
  std::string text;              // what it holds, or what is wrong and what was done; one line
  std::optional<uint64_t> byte;  // where the damage begins
  std::optional<uint32_t> step;  // the journal's or the checkpoint's, or the first that is lost
};
using ReportSink = std::function<void(const FileReport&)>;

}  // namespace hatchery

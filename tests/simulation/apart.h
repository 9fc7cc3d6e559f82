// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Work in a process of its own, so that what crashes there is an answer like any other, and all
// processors have something to do.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <functional>
#include <ostream>
#include <string>

namespace hatchery::simulation {

class Apart {
 public:
  // Starts it. What `work` writes comes out of Next; it is not buffered, so that nothing is missing
  // of a process that crashes. No other thread may run: it would not exist there.
  explicit Apart(const std::function<void(std::ostream&)>& work);
  // Kills it if it still runs.
  ~Apart();
  Apart(const Apart&) = delete;
  Apart& operator=(const Apart&) = delete;

  // Waits for the next line; false if there is none and never will be.
  bool Next(std::string& line);
  // Once there are no more lines: what ended it, as in "signal 6 (Aborted)"; empty if all was well.
  std::string Crash();

 private:
  pid_t pid_ = -1;
  FILE* lines_ = nullptr;
};

}  // namespace hatchery::simulation

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <termios.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "services/client/text_view.h"

namespace hatchery {

// How stdout may be drawn on: colours on a terminal without NO_COLOR, UTF-8 if the locale says so.
Style StyleOfStdout();

// The whole terminal, while it lives: the alternate screen without cursor and echo. It gives the
// terminal back as it was when it ends, on Ctrl-Z, and before the program dies of a signal that it
// handles: SIGINT, SIGTERM, SIGQUIT and SIGHUP ask to quit. One at a time, on the main thread.
class Terminal {
 public:
  // Whether stdout is a terminal that can be drawn on.
  static bool Usable();

  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  ViewSize size() const;
  // Draws what differs from the last time.
  void Show(const std::vector<std::string>& lines);
  // Waits so long, or until the size changes or somebody wants to quit: by a signal or the key q.
  // True if so.
  bool WaitForQuit(std::chrono::milliseconds limit);

 private:
  void Enter();
  void Leave();
  void Suspend();

  std::optional<termios> before_;  // of stdin, if that is a terminal
  std::vector<std::string> shown_;
  bool fresh_ = true;  // nothing that was shown is on the screen
};

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Real programs, started and killed by tests.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace hatchery::test {

// Where the built programs are: in HATCHERY_BIN if that is set; else beside this one, for a build
// may have been carried to another machine; else where they were built.
std::string ProgramFolder();

// A running program of build/bin, killed when this goes out of scope.
class Process {
 public:
  struct Limits {
    // Largest file that the program may write, in bytes; 0: none. Stands for a full disk.
    uint64_t file_bytes = 0;
  };

  // Starts `arguments[0]`, a path or a name in the directory of the built programs; stdout and
  // stderr go to files `output_prefix`.out and .err.
  Process(const std::vector<std::string>& arguments, const std::string& output_prefix,
          Limits limits);
  Process(const std::vector<std::string>& arguments, const std::string& output_prefix)
      : Process(arguments, output_prefix, Limits{}) {}
  ~Process();
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal);
  // SIGKILL, and waits until it is gone.
  void Kill();
  bool Running();
  // The exit code, or nothing if it still runs after `limit`; -signal if a signal ended it.
  std::optional<int> Wait(std::chrono::seconds limit);

  std::string Out() const;
  std::string Err() const;

 private:
  pid_t pid_;
  std::string prefix_;
  std::optional<int> code_;
};

struct Finished {
  int code;
  std::string out, err;
};
// Runs a program to its end; code -1000 if it takes longer than `limit`.
Finished RunProgram(const std::vector<std::string>& arguments, const std::string& output_prefix,
                    std::chrono::seconds limit = std::chrono::seconds(60));

// In a child, before exec: it ends with its parent, so that a test that dies leaves no strays
// behind. Where the system cannot do that, the child lives on.
void EndWithParent();

// A port of 127.0.0.1 that was free a moment ago.
int FreePort();

}  // namespace hatchery::test

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A program on a terminal of its own, and what a person would see there.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace hatchery::test {

// What is on the screen, of the escape sequences that our programs use; any other is kept in
// `unknown`.
class Screen {
 public:
  Screen(size_t columns, size_t rows) : columns_(columns), rows_(rows) { Clear(); }
  void Write(const std::string& bytes);
  void Resize(size_t columns, size_t rows);

  // The rows, without trailing blanks; characters beyond ASCII as they came.
  std::string Text() const;
  bool alternate() const { return alternate_; }
  bool cursor_shown() const { return cursor_shown_; }
  bool colored() const { return colored_; }  // some colour was ever used
  // On the alternate screen a row was written beyond its last column.
  bool overflowed() const { return overflowed_; }
  const std::string& unknown() const { return unknown_; }

 private:
  void Clear();
  void NextRow();
  void Put(const std::string& character);
  void Escape(const std::string& parameters, char kind);

  size_t columns_, rows_;
  std::vector<std::vector<std::string>> cells_, main_;
  size_t row_ = 0, column_ = 0;
  bool alternate_ = false, cursor_shown_ = true, colored_ = false, overflowed_ = false;
  std::string pending_, unknown_;
};

class TerminalProcess {
 public:
  // Starts arguments[0] of the built programs with these variables set ("NAME=value") besides
  // TERM=xterm-256color and LANG=C.UTF-8.
  TerminalProcess(const std::vector<std::string>& arguments, size_t columns, size_t rows,
                  const std::vector<std::string>& variables = {});
  ~TerminalProcess();

  // Reads what the program writes until `done` or `limit`; whether it came to that.
  bool ReadUntil(const std::function<bool(const Screen&)>& done,
                 std::chrono::seconds limit = std::chrono::seconds(60));
  void Type(const std::string& keys);
  void Resize(size_t columns, size_t rows);
  void Signal(int signal);
  // Reads to the end; the exit code, -signal, or nothing after `limit`.
  std::optional<int> Wait(std::chrono::seconds limit = std::chrono::seconds(20));
  // Whether typed keys are echoed and wait for Enter, as a shell wants it.
  bool EchoesLines() const;

  const Screen& screen() const { return screen_; }
  const std::string& bytes() const { return bytes_; }  // all that was written

 private:
  bool ReadSome();

  pid_t pid_ = -1;
  int terminal_ = -1;
  int other_end_ = -1;  // kept open, so that the terminal outlives the program
  Screen screen_;
  std::string bytes_;
};

}  // namespace hatchery::test

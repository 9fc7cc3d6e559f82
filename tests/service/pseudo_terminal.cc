// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/service/pseudo_terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "tests/service/process.h"

namespace hatchery::test {
namespace {

// Both ends of a new pseudo-terminal of that size.
void OpenTerminal(int& terminal, int& other_end, const winsize& size) {
  terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) std::abort();
  other_end = open(ptsname(terminal), O_RDWR | O_NOCTTY);
  if (other_end < 0 || ioctl(other_end, TIOCSWINSZ, &size) != 0) std::abort();
}

// Makes it the terminal of a new session, with this process's input and output on it.
void LogIn(int terminal) {
  setsid();
  ioctl(terminal, TIOCSCTTY, 0);
  for (const int end : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(terminal, end);
  if (terminal > STDERR_FILENO) close(terminal);
}

size_t BytesOf(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace

void Screen::Clear() { cells_.assign(rows_, std::vector<std::string>(columns_, " ")); }

void Screen::Resize(size_t columns, size_t rows) {
  columns_ = columns;
  rows_ = rows;
  for (auto* cells : {&cells_, &main_}) {
    cells->resize(rows, std::vector<std::string>(columns, " "));
    for (auto& row : *cells) row.resize(columns, " ");
  }
  row_ = std::min(row_, rows - 1);
  column_ = std::min(column_, columns - 1);
}

void Screen::NextRow() {
  if (row_ + 1 < rows_) {
    ++row_;
    return;
  }
  cells_.erase(cells_.begin());
  cells_.emplace_back(columns_, " ");
}

void Screen::Put(const std::string& character) {
  if (column_ >= columns_) {
    // A shell's screen wraps; a view has no business there.
    overflowed_ = overflowed_ || alternate_;
    if (alternate_) return;
    column_ = 0;
    NextRow();
  }
  cells_[row_][column_++] = character;
}

void Screen::Escape(const std::string& parameters, char kind) {
  const auto number = [&](size_t at) {
    return at < parameters.size() ? std::strtoul(parameters.c_str() + at, nullptr, 10) : 0;
  };
  const size_t semicolon = parameters.find(';');
  if (kind == 'm') {
    colored_ = colored_ || parameters != "0";
  } else if (kind == 'H') {
    row_ = std::min(std::max(number(0), 1ul) - 1, rows_ - 1);
    column_ = semicolon == parameters.npos
                  ? 0
                  : std::min(std::max(number(semicolon + 1), 1ul) - 1, columns_ - 1);
  } else if (kind == 'K' && parameters == "2") {
    cells_[row_].assign(columns_, " ");
  } else if (kind == 'J') {
    if (parameters == "2") return Clear();
    for (size_t row = row_; row < rows_; ++row)
      for (size_t column = row == row_ ? column_ : 0; column < columns_; ++column)
        cells_[row][column] = " ";
  } else if ((kind == 'h' || kind == 'l') && parameters == "?25") {
    cursor_shown_ = kind == 'h';
  } else if ((kind == 'h' || kind == 'l') && parameters == "?1049") {
    if (alternate_ == (kind == 'h')) return;
    alternate_ = kind == 'h';
    if (alternate_) {
      main_ = cells_;
      Clear();
    } else {
      cells_ = main_;
    }
  } else {
    unknown_ += parameters + kind + " ";
  }
}

void Screen::Write(const std::string& bytes) {
  pending_ += bytes;
  size_t at = 0;
  while (at < pending_.size()) {
    const char c = pending_[at];
    if (c == '\033') {
      size_t end = at + 2;
      while (end < pending_.size() && (pending_[end] < '@' || pending_[end] > '~')) ++end;
      if (end >= pending_.size()) break;
      if (pending_[at + 1] == '[')
        Escape(pending_.substr(at + 2, end - at - 2), pending_[end]);
      else
        unknown_ += pending_[at + 1];
      at = end + 1;
    } else if (c == '\r') {
      column_ = 0;
      ++at;
    } else if (c == '\n') {
      NextRow();
      ++at;
    } else {
      const size_t size = BytesOf(c);
      if (at + size > pending_.size()) break;
      Put(pending_.substr(at, size));
      at += size;
    }
  }
  pending_.erase(0, at);
}

std::string Screen::Text() const {
  std::string text;
  for (const auto& row : cells_) {
    std::string line;
    for (const std::string& cell : row) line += cell;
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

TerminalProcess::TerminalProcess(const std::vector<std::string>& arguments, size_t columns,
                                 size_t rows, const std::vector<std::string>& variables)
    : screen_(columns, rows) {
  winsize size = {};
  size.ws_col = static_cast<unsigned short>(columns);
  size.ws_row = static_cast<unsigned short>(rows);
  OpenTerminal(terminal_, other_end_, size);
  pid_ = fork();
  if (pid_ != 0) return;
  EndWithParent();
  close(terminal_);
  LogIn(other_end_);
  setenv("TERM", "xterm-256color", 1);
  setenv("LANG", "C.UTF-8", 1);
  unsetenv("LC_ALL");
  unsetenv("NO_COLOR");
  for (const std::string& variable : variables) putenv(const_cast<char*>(variable.c_str()));
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv((std::string(HATCHERY_BIN) + "/" + arguments[0]).c_str(), argv.data());
  std::_Exit(127);
}

TerminalProcess::~TerminalProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(terminal_);
  close(other_end_);
}

bool TerminalProcess::ReadSome() {
  pollfd source = {terminal_, POLLIN, 0};
  if (poll(&source, 1, 20) <= 0) return false;
  char buffer[65536];
  const ssize_t size = read(terminal_, buffer, sizeof buffer);
  if (size <= 0) return false;
  const std::string bytes(buffer, static_cast<size_t>(size));
  bytes_ += bytes;
  screen_.Write(bytes);
  return true;
}

bool TerminalProcess::ReadUntil(const std::function<bool(const Screen&)>& done,
                                std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done(screen_)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ReadSome();
  }
  return true;
}

void TerminalProcess::Type(const std::string& keys) {
  (void)!write(terminal_, keys.data(), keys.size());
}

void TerminalProcess::Resize(size_t columns, size_t rows) {
  screen_.Resize(columns, rows);
  winsize size = {};
  size.ws_col = static_cast<unsigned short>(columns);
  size.ws_row = static_cast<unsigned short>(rows);
  ioctl(terminal_, TIOCSWINSZ, &size);  // and the program gets SIGWINCH
}

void TerminalProcess::Signal(int signal) { kill(pid_, signal); }

std::optional<int> TerminalProcess::Wait(std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG) != pid_) {
    if (std::chrono::steady_clock::now() > deadline) return std::nullopt;
    ReadSome();
  }
  pid_ = -1;
  while (ReadSome()) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool TerminalProcess::EchoesLines() const {
  termios now;
  return tcgetattr(other_end_, &now) == 0 && (now.c_lflag & ECHO) != 0 &&
         (now.c_lflag & ICANON) != 0;
}

}  // namespace hatchery::test

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/apart.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>

namespace hatchery::simulation {
namespace {

[[noreturn]] void Run(const std::function<void(std::ostream&)>& work, int to) {
  try {
    std::ofstream out("/dev/fd/" + std::to_string(to));
    out << std::unitbuf;
    work(out);
  } catch (const std::exception& error) {
    std::cerr << "hatchery-sim: " << error.what() << std::endl;
    std::abort();
  }
  std::_Exit(0);  // what the parent has made is the parent's to clean up
}

}  // namespace

Apart::Apart(const std::function<void(std::ostream&)>& work) {
  int ends[2];
  if (pipe(ends) != 0 || (pid_ = fork()) < 0)
    throw std::runtime_error(std::string("cannot start a process: ") + std::strerror(errno));
  if (pid_ == 0) {
    close(ends[0]);
    Run(work, ends[1]);
  }
  close(ends[1]);
  lines_ = fdopen(ends[0], "r");
}

Apart::~Apart() {
  std::fclose(lines_);
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool Apart::Next(std::string& line) {
  line.clear();
  for (int c = std::getc(lines_); c != EOF; c = std::getc(lines_)) {
    if (c == '\n') return true;
    line += static_cast<char>(c);
  }
  return !line.empty();
}

std::string Apart::Crash() {
  int status = 0;
  while (pid_ > 0 && waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFSIGNALED(status))
    return "signal " + std::to_string(WTERMSIG(status)) + " (" + strsignal(WTERMSIG(status)) + ")";
  return WEXITSTATUS(status) == 0 ? "" : "exit code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace hatchery::simulation

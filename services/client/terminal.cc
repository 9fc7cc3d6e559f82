// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

namespace hatchery {
namespace {

constexpr int kQuitSignals[] = {SIGINT, SIGTERM, SIGQUIT, SIGHUP};
constexpr int kOtherSignals[] = {SIGWINCH, SIGTSTP};

// Signals travel from the handler, on whatever thread it runs, to WaitForQuit.
int pipe_ends[2] = {-1, -1};

void Forward(int signal) {
  const int error = errno;
  const auto byte = static_cast<unsigned char>(signal);
  (void)!write(pipe_ends[1], &byte, 1);
  errno = error;
}

// A full or closed pipe must not hold up a handler, nor a child of ours keep it.
void OpenPipe() {
  if (pipe(pipe_ends) != 0) {
    pipe_ends[0] = pipe_ends[1] = -1;
    return;
  }
  for (const int end : pipe_ends) {
    fcntl(end, F_SETFD, FD_CLOEXEC);
    fcntl(end, F_SETFL, O_NONBLOCK);
  }
}

void Handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

void HandleAll(void (*handler)(int)) {
  for (const int signal : kQuitSignals) Handle(signal, handler);
  for (const int signal : kOtherSignals) Handle(signal, handler);
}

void Write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno != EINTR && errno != EAGAIN) return;  // nobody is there any more
    if (written > 0) text.remove_prefix(static_cast<size_t>(written));
  }
}

bool IsSet(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

bool Utf8Locale() {
  for (const char* variable : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (!IsSet(variable)) continue;
    const std::string_view value = std::getenv(variable);
    return value.find("UTF-8") != value.npos || value.find("utf8") != value.npos;
  }
  return false;
}

}  // namespace

Style StyleOfStdout() {
  return {.color = Terminal::Usable() && !IsSet("NO_COLOR"), .utf8 = Utf8Locale()};
}

bool Terminal::Usable() {
  const char* kind = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && kind != nullptr && *kind != '\0' &&
         std::string_view(kind) != "dumb";
}

Terminal::Terminal() {
  OpenPipe();
  HandleAll(Forward);
  Enter();
}

Terminal::~Terminal() {
  Leave();
  HandleAll(SIG_DFL);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

void Terminal::Enter() {
  termios now;
  if (tcgetattr(STDIN_FILENO, &now) == 0) {
    before_ = now;
    now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    now.c_cc[VMIN] = 0;
    now.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
  }
  Write("\033[?1049h\033[?25l");
  fresh_ = true;
}

void Terminal::Leave() {
  Write("\033[0m\033[?25h\033[?1049l");
  if (before_) tcsetattr(STDIN_FILENO, TCSADRAIN, &*before_);
  before_.reset();
}

void Terminal::Suspend() {
  Leave();
  Handle(SIGTSTP, SIG_DFL);
  raise(SIGTSTP);  // until SIGCONT
  Handle(SIGTSTP, Forward);
  Enter();
}

ViewSize Terminal::size() const {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
    return {};
  return {size.ws_col, size.ws_row};
}

void Terminal::Show(const std::vector<std::string>& lines) {
  std::string out;
  if (fresh_) out += "\033[2J";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!fresh_ && i < shown_.size() && shown_[i] == lines[i]) continue;
    out += "\033[" + std::to_string(i + 1) + ";1H\033[2K" + lines[i];
  }
  if (lines.size() < shown_.size() && !fresh_)
    out += "\033[" + std::to_string(lines.size() + 1) + ";1H\033[J";
  shown_ = lines;
  fresh_ = false;
  Write(out);
}

bool Terminal::WaitForQuit(std::chrono::milliseconds limit) {
  pollfd sources[] = {{pipe_ends[0], POLLIN, 0}, {before_ ? STDIN_FILENO : -1, POLLIN, 0}};
  poll(sources, 2, static_cast<int>(limit.count()));
  bool quit = false;
  unsigned char byte;
  while (read(pipe_ends[0], &byte, 1) == 1) {
    if (byte == SIGWINCH)
      fresh_ = true;
    else if (byte == SIGTSTP)
      Suspend();
    else
      quit = true;
  }
  if ((sources[1].revents & POLLIN) != 0)
    while (read(STDIN_FILENO, &byte, 1) == 1) quit = quit || byte == 'q' || byte == 'Q';
  if ((sources[1].revents & (POLLHUP | POLLERR)) != 0) quit = true;
  return quit;
}

}  // namespace hatchery

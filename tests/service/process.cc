// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/service/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

namespace hatchery::test {
namespace {

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void Redirect(const std::string& path, int to) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  dup2(fd, to);
  close(fd);
}

[[noreturn]] void Become(const std::vector<std::string>& arguments, const std::string& prefix,
                         const Process::Limits& limits) {
  EndWithParent();
  Redirect(prefix + ".out", 1);
  Redirect(prefix + ".err", 2);
  if (limits.file_bytes != 0) {
    const rlimit limit{limits.file_bytes, limits.file_bytes};
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);  // the write fails instead
  }
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const bool ours = arguments[0].find('/') == std::string::npos;
  execv((ours ? ProgramFolder() + "/" + arguments[0] : arguments[0]).c_str(), argv.data());
  std::_Exit(127);
}

}  // namespace

std::string ProgramFolder() {
  if (const char* other = std::getenv("HATCHERY_BIN")) return other;
#if defined(__linux__)
  std::error_code unknown;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (!unknown && std::filesystem::exists(self.parent_path() / "hatchery-coordinator", unknown))
    return self.parent_path();
#endif
  return HATCHERY_BIN;
}

Process::Process(const std::vector<std::string>& arguments, const std::string& output_prefix,
                 Limits limits)
    : prefix_(output_prefix) {
  pid_ = fork();
  if (pid_ == 0) Become(arguments, prefix_, limits);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), prefix_(std::move(other.prefix_)), code_(other.code_) {}

Process::~Process() {
  if (pid_ > 0) Kill();
}

void Process::Signal(int signal) {
  if (!code_) kill(pid_, signal);
}

void Process::Kill() {
  Signal(SIGKILL);
  Wait(std::chrono::seconds(60));
}

bool Process::Running() { return !Wait(std::chrono::seconds(0)); }

std::optional<int> Process::Wait(std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!code_) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      break;
    }
    if (std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return code_;
}

std::string Process::Out() const { return Contents(prefix_ + ".out"); }
std::string Process::Err() const { return Contents(prefix_ + ".err"); }

Finished RunProgram(const std::vector<std::string>& arguments, const std::string& output_prefix,
                    std::chrono::seconds limit) {
  Process process(arguments, output_prefix);
  const std::optional<int> code = process.Wait(limit);
  if (!code) process.Kill();
  return {code.value_or(-1000), process.Out(), process.Err()};
}

void EndWithParent() {
#if defined(__linux__)
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) std::abort();
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace hatchery::test

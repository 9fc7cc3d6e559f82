// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/service/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

namespace hatchery::test {
namespace {

constexpr int kPollMilliseconds = 50;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

bool WriteAll(int to, const char* bytes, ssize_t size) {
  while (size > 0) {
    const ssize_t written = write(to, bytes, static_cast<size_t>(size));
    if (written <= 0) return false;
    bytes += written;
    size -= written;
  }
  return true;
}

}  // namespace

Proxy::Proxy(int to) : to_(to), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
  std::signal(SIGPIPE, SIG_IGN);  // a peer that is gone is an error of write
  sockaddr_in address = Loopback(0);
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (bind(listener_, plain, size) != 0 || listen(listener_, 64) != 0 ||
      getsockname(listener_, plain, &size) != 0)
    std::abort();
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

Proxy::~Proxy() {
  stop_ = true;
  thread_.join();
  for (const Pair& pair : pairs_)
    for (const int end : pair.ends) close(end);
  close(listener_);
}

void Proxy::Run() {
  while (!stop_) {
    if (swallow_.exchange(false))
      for (Pair& pair : pairs_) pair.dead = true;
    std::vector<pollfd> polled = {{listener_, POLLIN, 0}};
    for (const Pair& pair : pairs_)
      for (const int end : pair.ends) polled.push_back({pair.dead ? -1 : end, POLLIN, 0});
    poll(polled.data(), polled.size(), kPollMilliseconds);
    for (size_t i = pairs_.size(); i-- > 0;) {
      bool over = false;
      for (int side = 0; side < 2; ++side)
        if (polled[1 + 2 * i + static_cast<size_t>(side)].revents != 0)
          over = over || !Forward(pairs_[i], side);
      if (!over) continue;
      for (const int end : pairs_[i].ends) close(end);
      pairs_.erase(pairs_.begin() + static_cast<ptrdiff_t>(i));
    }
    if (polled[0].revents != 0) Accept();
  }
}

void Proxy::Accept() {
  const int peer = accept(listener_, nullptr, nullptr), other = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(to_);
  if (connect(other, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    pairs_.push_back({{peer, other}});
    return;
  }
  close(peer);
  close(other);
}

bool Proxy::Forward(const Pair& pair, int from) {
  std::array<char, 1 << 16> bytes;
  const ssize_t size = recv(pair.ends[from], bytes.data(), bytes.size(), 0);
  return size > 0 && WriteAll(pair.ends[1 - from], bytes.data(), size);
}

}  // namespace hatchery::test

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <thread>
#include <vector>

namespace hatchery::test {

// A stretch of network between a peer and a port of this machine that can die without a word, as a
// NAT that forgot a connection, or a pulled cable: what is connected stays so for both ends, and
// not a byte passes any more.
class Proxy {
 public:
  // Listens on a port of its own on loopback and forwards to `to`.
  explicit Proxy(int to);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  int port() const { return port_; }
  // Of the connections that there are now; later ones are forwarded.
  void Swallow() { swallow_ = true; }

 private:
  struct Pair {
    int ends[2];
    bool dead = false;
  };
  void Run();
  void Accept();
  // From one end to the other; false if the connection is over.
  static bool Forward(const Pair& pair, int from);

  const int to_;
  int listener_ = -1, port_ = 0;
  std::vector<Pair> pairs_;
  std::atomic<bool> swallow_ = false, stop_ = false;
  std::thread thread_;
};

}  // namespace hatchery::test

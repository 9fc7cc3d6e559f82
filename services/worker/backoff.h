// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace hatchery::worker {

// Waits that double with every failure. Times are milliseconds.
class Backoff {
 public:
  Backoff(int64_t first, int64_t longest) : first_(first), longest_(longest), wait_(first) {}

  void Failed(int64_t now) {
    due_ = now + wait_;
    wait_ = std::min(2 * wait_, longest_);
  }
  void Succeeded() {
    wait_ = first_;
    due_ = 0;
  }
  // When to try again; 0: at once.
  int64_t due() const { return due_; }

 private:
  int64_t first_, longest_, wait_;
  int64_t due_ = 0;
};

}  // namespace hatchery::worker

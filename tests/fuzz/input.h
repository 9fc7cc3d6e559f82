// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

namespace hatchery::fuzz {

// How far the last input got: records that were read, say. The replay of the corpus compares it.
inline size_t reached = 0;

// Fuzzed bytes, taken from the front. At the end everything is zero and empty.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t Byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  // A byte that says how many, then so many.
  std::string Bytes() { return Take(Byte()); }
  // The same with two bytes, the lower first.
  std::string LongBytes() {
    const size_t low = Byte();
    return Take(low + 256 * size_t{Byte()});
  }
  std::string Rest() { return Take(size_); }

 private:
  std::string Take(size_t count) {
    count = std::min(count, size_);
    std::string bytes(reinterpret_cast<const char*>(data_), count);
    data_ += count;
    size_ -= count;
    return bytes;
  }

  const uint8_t* data_;
  size_t size_;
};

}  // namespace hatchery::fuzz

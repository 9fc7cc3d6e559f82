// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "kernels/status.h"

namespace hatchery {

using Sha256Hash = std::array<uint8_t, 32>;

// SHA-256 of bytes given piece by piece.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(std::string_view bytes);
  // The hash of all bytes so far; call once.
  Sha256Hash Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Sha256Hash Sha256Of(std::string_view bytes);
// Reads the file of this machine in pieces.
StatusOr<Sha256Hash> Sha256OfFile(const std::string& path);

// 64 lower-case hex digits.
std::string ToHex(const Sha256Hash& hash);
bool IsSha256Hex(std::string_view text);

// The hash's raw bytes, 32 of them.
inline std::string_view AsBytes(const Sha256Hash& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

}  // namespace hatchery

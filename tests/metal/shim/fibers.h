// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The threads of one threadgroup as fibers of one thread: each runs until it must wait for others.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace shim {

inline constexpr uint32_t kSimdWidth = 32;

// Runs `body(thread)` for `threads` fibers until all have returned. The order in which those that
// can run do so follows from `seed`: kernels that forget a barrier differ from one to the next.
// What Metal leaves undefined ends the program with a message: a barrier or simdgroup function that
// not all threads of the threadgroup or simdgroup reach, or of which they reach different ones.
class Fibers {
 public:
  Fibers();
  ~Fibers();
  void Run(uint32_t threads, uint32_t seed, const std::function<void(uint32_t)>& body);

  class Implementation;

 private:
  std::unique_ptr<Implementation> implementation_;
};

// ---- Called by fibers ---------------------------------------------------------------------------

// Waits until all threads of the threadgroup are here.
void ThreadgroupBarrier();

// Waits until all lanes of the simdgroup have brought `mine` to the function `what`; the last one
// calls `together` with what each has brought, by lane.
void Together(const char* what, void* mine, void (*together)(void* const brought[kSimdWidth]));

}  // namespace shim

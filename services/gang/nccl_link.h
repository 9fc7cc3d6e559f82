// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Scores between GPUs: NCCL's all-gather, which takes NVLink or the network's own way.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>

#include "kernels/status.h"

namespace hatchery {

class NcclLink {
 public:
  // What rank 0 makes and all ranks must know before they meet.
  using Id = std::array<std::byte, 128>;

  static StatusOr<Id> MakeId();
  // Meets the other ranks; every one calls it, each for a CUDA device of its own. If one does not
  // come, kCancelled once `stop` is requested, kUnavailable after two minutes.
  static StatusOr<std::unique_ptr<NcclLink>> Open(const Id& id, uint32_t rank, uint32_t ranks,
                                                  int device, std::stop_token stop);
  // Every rank's scores, equally many, to all, in rank order. `check` is called while it waits, and
  // ends it by an error.
  virtual Status AllGather(std::span<const int32_t> mine, std::span<int32_t> all,
                           const std::function<Status()>& check) = 0;
  virtual ~NcclLink() = default;
};

}  // namespace hatchery

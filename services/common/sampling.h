// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Letting a model write. May use floating point: no weight depends on it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "kernels/replica.h"
#include "kernels/status.h"

namespace hatchery {

struct SamplingOptions {
  uint32_t bytes = 200;         // to write
  double temperature = 1;       // 0: always the likeliest byte
  double min_p = 0;             // bytes less likely than this fraction of the likeliest are dropped
  double presence_penalty = 0;  // bits taken off every byte that was already written
  uint64_t seed = 1;            // the same seed writes the same text
};

// Feeds `prompt` to the unperturbed model (a line's end if it is empty) and shows `on_byte` every
// byte that the model then writes, as it is chosen.
Status SampleBytes(Replica& replica, const std::string& prompt, const SamplingOptions& options,
                   const std::function<void(uint8_t)>& on_byte);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/replica.h"

#include <string>

namespace hatchery {

Status CheckData(const JobSpec& spec, const DataView& data) {
  return CheckDataSizes(spec, data.train.size(), data.held_out.size());
}

Status CheckDataSizes(const JobSpec& spec, uint64_t train_bytes, uint64_t held_out_bytes) {
  if (train_bytes < spec.WindowBytes())
    return InvalidArgument("the training data has " + std::to_string(train_bytes) +
                           " bytes, but one window reads " + std::to_string(spec.WindowBytes()) +
                           " (burn_in + window + 1); use more data or a shorter window");
  if (held_out_bytes != 0 && held_out_bytes / spec.held_out_streams < 2)
    return InvalidArgument("the held-out data has " + std::to_string(held_out_bytes) +
                           " bytes, fewer than two for each of " +
                           std::to_string(spec.held_out_streams) +
                           " streams; lower held_out_streams or hold out more");
  return {};
}

}  // namespace hatchery

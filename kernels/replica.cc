// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/replica.h"

#include <string>

namespace hatchery {

Status CheckData(const JobSpec& spec, const DataView& data) {
  if (data.train.size() < spec.WindowBytes())
    return InvalidArgument("the training data has " + std::to_string(data.train.size()) +
                           " bytes, but one window reads " + std::to_string(spec.WindowBytes()) +
                           " (burn_in + window + 1); use more data or a shorter window");
  if (!data.held_out.empty() && data.held_out.size() / spec.held_out_streams < 2)
    return InvalidArgument("the held-out data has " + std::to_string(data.held_out.size()) +
                           " bytes, fewer than two for each of " +
                           std::to_string(spec.held_out_streams) +
                           " streams; lower held_out_streams or hold out more");
  return {};
}

}  // namespace hatchery

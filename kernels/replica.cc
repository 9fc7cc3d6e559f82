// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/replica.h"

#include <string>

namespace hatchery {

Status CheckCommit(const Replica& replica, const Commit& commit) {
  if (commit.step != replica.step())
    return FailedPrecondition("commit of step " + std::to_string(commit.step) +
                              " does not fit a replica at step " + std::to_string(replica.step()));
  return CheckFitness(commit.encoding, commit.fitness, replica.spec().pairs());
}

Status CheckBytes(const char* what, const Model& model, uint64_t offset, uint64_t size) {
  if (offset % 8 == 0 && size % 8 == 0 && offset <= model.bytes() && size <= model.bytes() - offset)
    return {};
  return InvalidArgument(std::string(what) + " of bytes [" + std::to_string(offset) + ", " +
                         std::to_string(offset + size) + ") is not in whole words within " +
                         std::to_string(model.bytes()));
}

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

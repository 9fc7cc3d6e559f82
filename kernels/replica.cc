// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/replica.h"

#include <string>

namespace hatchery {
namespace {

Status CheckStreams(const JobSpec& spec, uint64_t held_out_bytes) {
  if (held_out_bytes / spec.held_out_streams < 2)
    return InvalidArgument("the held-out data has " + std::to_string(held_out_bytes) +
                           " bytes, fewer than two for each of " +
                           std::to_string(spec.held_out_streams) +
                           " streams; lower held_out_streams or hold out more")
        .About("held_out");
  if (held_out_bytes / spec.held_out_streams > kMaxStreamBytes)
    return InvalidArgument("the held-out data has " + std::to_string(held_out_bytes) +
                           " bytes, more than " + std::to_string(kMaxStreamBytes) +
                           " for each of " + std::to_string(spec.held_out_streams) +
                           " streams; raise held_out_streams or hold out less")
        .About("held_out");
  return {};
}

}  // namespace

Status CheckEvaluate(const JobSpec& spec, Shard shard, size_t scores, uint64_t train_bytes) {
  if (shard.begin > shard.end || shard.end > spec.pairs())
    return InvalidArgument("shard [" + std::to_string(shard.begin) + ", " +
                           std::to_string(shard.end) + ") is not within the " +
                           std::to_string(spec.pairs()) + " pairs of the population");
  if (scores != 2 * size_t{shard.pairs()})
    return InvalidArgument("scores must have two places a pair");
  if (train_bytes == 0)
    return FailedPrecondition("this replica has no training data, so it cannot evaluate");
  return {};
}

Status CheckValidate(const JobSpec& spec, uint32_t begin, uint32_t end, uint64_t held_out_bytes) {
  if (begin > end || end > spec.held_out_streams)
    return InvalidArgument("held-out streams [" + std::to_string(begin) + ", " +
                           std::to_string(end) + ") are not within the job's " +
                           std::to_string(spec.held_out_streams));
  if (begin != end && held_out_bytes == 0)
    return FailedPrecondition("this replica has no held-out data, so it cannot validate");
  return begin == end ? Status() : CheckStreams(spec, held_out_bytes);
}

Status CheckWeights(const Model& model, uint64_t bytes) {
  if (bytes == model.bytes()) return {};
  return InvalidArgument("weights of " + std::to_string(bytes) + " bytes do not fit a " +
                         std::to_string(model.bytes()) + "-byte replica");
}

Status PrepareState(const JobSpec& spec, RecurrentState& state) {
  const uint64_t size = uint64_t{spec.layers} * spec.hidden;
  if (state.empty()) state.assign(size, 0);
  if (state.size() == size) return {};
  return InvalidArgument("recurrent state of " + std::to_string(state.size()) +
                         " bytes does not fit the model's " + std::to_string(size));
}

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
                           " (burn_in + window + 1); use more data or a shorter window")
        .About("train");
  return held_out_bytes == 0 ? Status() : CheckStreams(spec, held_out_bytes);
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Checkpoints: a replica as a safetensors file (docs/checkpoint.md). The metadata carries the job,
// so one file is enough to evaluate or sample from.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hatchery/v1/job.pb.h"
#include "kernels/core/digest.h"
#include "kernels/model.h"
#include "kernels/status.h"
#include "services/common/disk.h"

namespace hatchery {

struct Checkpoint {
  v1::Job job;
  uint32_t step = 0;
  core::Digest digest;
  std::vector<int8_t> weights;  // a whole replica, padding included
};

// No checkpoint of the model is longer, in bytes.
uint64_t MostCheckpointBytes(const Model& model);

// `weights` is a whole replica of the job's model: Model(spec).bytes() bytes.
std::string EncodeCheckpoint(const v1::Job& job, uint32_t step, std::span<const int8_t> weights);

// Refuses (kDataLoss, one line that starts with `name`) bytes that are truncated, malformed, of
// another shape than their job, or whose metadata or weights are not what their checksums say.
StatusOr<Checkpoint> DecodeCheckpoint(std::string_view bytes, const std::string& name);

StatusOr<Checkpoint> ReadCheckpoint(Disk& disk, const std::string& path);

}  // namespace hatchery

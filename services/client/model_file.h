// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "kernels/replica.h"
#include "kernels/status.h"
#include "services/common/backend.h"
#include "services/common/checkpoint.h"

namespace hatchery {

// A trained model that the user named: a run's directory (its newest checkpoint is taken) or a
// checkpoint file. `path` in the result is the file that was read.
struct ModelFile {
  Checkpoint checkpoint;
  std::string path;
};
StatusOr<ModelFile> ReadModel(const std::string& directory_or_file);

// OK if the job can start from the model's weights: same layers, same width.
Status CheckFits(const ModelFile& model, const v1::Job& job);

// A replica that holds the checkpoint. `held_out`: bytes to be scored by Validate, in `streams`
// streams; may be empty.
StatusOr<std::unique_ptr<Replica>> LoadModel(const Checkpoint& checkpoint,
                                             const BackendOptions& backend,
                                             std::span<const uint8_t> held_out = {},
                                             uint32_t streams = 1);

}  // namespace hatchery

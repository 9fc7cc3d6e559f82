// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/job_spec.h"

#include <string>

#include "kernels/core/arithmetic.h"
#include "kernels/core/score.h"

namespace hatchery {
namespace {

Status CheckRange(const std::string& field, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return {};
  return InvalidArgument(field + " is " + std::to_string(value) + "; it must be in [" +
                         std::to_string(low) + ", " + std::to_string(high) + "]")
      .About(field.substr(0, field.find(' ')));  // without its unit
}

}  // namespace

Status JobSpec::Validate() const {
  HATCHERY_RETURN_IF_ERROR(CheckRange("model.hidden", hidden, 1, 8192));
  HATCHERY_RETURN_IF_ERROR(CheckRange("model.layers", layers, 1, 1024));
  HATCHERY_RETURN_IF_ERROR(CheckRange("noise.rank", rank, 1, core::kMaxRank));
  HATCHERY_RETURN_IF_ERROR(
      CheckRange("noise.sigma_shift", sigma_shift, 0, core::MaxSigmaShift(noise)));
  HATCHERY_RETURN_IF_ERROR(CheckRange("noise.reuse", noise_reuse, 0, 0x7FFFFFFF));
  HATCHERY_RETURN_IF_ERROR(CheckRange("population", population, 2, 1u << 24));
  HATCHERY_RETURN_IF_ERROR(CheckRange("group_size", group_size, 2, population));
  HATCHERY_RETURN_IF_ERROR(CheckRange("window", window, 1, core::kMaxWindow));
  HATCHERY_RETURN_IF_ERROR(CheckRange("burn_in", burn_in, 0, core::kMaxWindow));
  HATCHERY_RETURN_IF_ERROR(CheckRange("held_out_streams", held_out_streams, 1, 1u << 20));
  HATCHERY_RETURN_IF_ERROR(CheckRange("steps", steps, 0, 0x7FFFFFFF));
  HATCHERY_RETURN_IF_ERROR(CheckRange("update.alpha_start (in 1/65536)", alpha_start, 1, 65536));
  HATCHERY_RETURN_IF_ERROR(CheckRange("update.alpha_decay_bits", alpha_decay_bits, 0, 16));
  HATCHERY_RETURN_IF_ERROR(
      CheckRange("update.alpha_decay_steps", alpha_decay_steps, 1, 0x7FFFFFFF));
  if (group_size % 2 != 0)
    return InvalidArgument("group_size is " + std::to_string(group_size) +
                           "; it must be even, since both members of a pair read one window")
        .About("group_size");
  if (population % group_size != 0)
    return InvalidArgument(
               "population " + std::to_string(population) + " is not a multiple of group_size " +
               std::to_string(group_size) +
               "; nearest that are: " + std::to_string(population / group_size * group_size) +
               " and " + std::to_string((population / group_size + 1) * group_size))
        .About("population");
  return {};
}

}  // namespace hatchery

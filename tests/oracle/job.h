// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/job_spec.h"
#include "tests/oracle/oracle.h"

namespace hatchery {

// The same job in the oracle's words.
inline oracle::Job OracleJob(const JobSpec& spec) {
  oracle::Job job;
  job.hidden = spec.hidden;
  job.layers = spec.layers;
  job.seed = spec.seed;
  job.gaussian = spec.noise == core::Noise::kGaussian;
  job.rank = spec.rank;
  job.sigma_shift = spec.sigma_shift;
  job.noise_reuse = spec.noise_reuse;
  job.population = spec.population;
  job.group_size = spec.group_size;
  job.window = spec.window;
  job.burn_in = spec.burn_in;
  job.held_out_streams = spec.held_out_streams;
  job.alpha_start = spec.alpha_start;
  job.alpha_decay_bits = spec.alpha_decay_bits;
  job.alpha_decay_steps = spec.alpha_decay_steps;
  return job;
}

}  // namespace hatchery

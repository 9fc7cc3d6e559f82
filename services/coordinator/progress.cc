// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/progress.h"

#include "services/common/convert.h"

namespace hatchery::coordinator {
namespace {

void AddHeldOut(const HeldOutSums& sums, uint32_t step, v1::JobUpdate& update) {
  update.set_validation_bits_per_byte(BitsPerByte(sums.score, sums.tokens));
  update.set_validation_coarse_bits_per_byte(CoarseBitsPerByte(sums));
  update.set_validation_accuracy(Accuracy(sums));
  update.set_validation_step(step);
}

}  // namespace

v1::JobUpdate UpdateOf(const CommitRecord& record, const v1::Job& job,
                       const v1::JobUpdate& previous) {
  v1::JobUpdate update = previous;
  update.set_step(record.commit.step + 1);
  update.set_steps(job.steps());
  update.set_train_bits_per_byte(BitsPerByte(record.score_sum, record.scored_tokens));
  update.set_alpha(record.commit.alpha / 65536.0);
  update.set_fitness_nonzero(2.0 * record.nonzero_pairs / job.population());
  update.set_digest_before(FormatDigest(record.digest_before));
  update.set_state(v1::JobState::RUNNING);
  if (record.held_out) AddHeldOut(*record.held_out, record.commit.step, update);
  return update;
}

void AddClosing(const ClosingRecord& record, v1::JobUpdate& update) {
  update.set_step(record.step);
  update.set_digest(FormatDigest(record.digest));
  update.set_state(v1::JobState::FINISHED);
  if (record.held_out) AddHeldOut(*record.held_out, record.step, update);
}

}  // namespace hatchery::coordinator

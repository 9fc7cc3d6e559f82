// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/known_answer.h"

#include "kernels/core/philox.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/known_answer.h"

namespace hatchery::coordinator {

StatusOr<KnownAnswer> MakeKnownAnswer() {
  KnownAnswer answer;
  for (uint32_t i = 0; i < 500; ++i)
    answer.data += static_cast<char>(core::Philox({i, 0, 0, 0}, 42).w0 % 90 + 32);
  v1::Job& task = answer.task;
  task = DefaultJob();
  task.set_name("known-answer");
  // What nearly every job takes, so that GPUs prove their fastest kernels, which few other shapes
  // do.
  task.mutable_model()->set_hidden(256);
  task.mutable_model()->set_layers(1);
  task.mutable_noise()->set_rank(1);
  task.set_population(60);
  task.set_group_size(4);
  task.set_window(8);
  task.set_burn_in(2);
  task.set_steps(2);
  task.mutable_update()->set_alpha_decay_steps(1);  // the second step spares most weights
  task.mutable_train()->set_end(answer.data.size());
  task.mutable_train()->set_file_bytes(answer.data.size());

  HATCHERY_ASSIGN_OR_RETURN(
      const core::Digest digest,
      TrainKnownAnswer(task, answer.data, FactoryOf({.name = "cpu", .threads = 1}), {}));
  answer.digest = DigestToBytes(digest);
  return answer;
}

}  // namespace hatchery::coordinator

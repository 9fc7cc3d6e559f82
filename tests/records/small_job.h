// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "services/common/job.h"
#include "services/common/sha256.h"

namespace hatchery {

// Text that is easy to learn, `size` bytes.
inline std::string SmallText(size_t size = 4000) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text += static_cast<char>('a' + i % 7);
  return text;
}

// A job of a few milliseconds a step on `text`, the last tenth held out.
inline v1::Job SmallJob(const std::string& text = SmallText()) {
  v1::Job job = DefaultJob();
  job.set_name("small");
  job.mutable_model()->set_hidden(16);
  job.mutable_model()->set_layers(1);
  job.set_population(64);
  job.set_window(8);
  job.set_steps(12);
  job.set_held_out_streams(4);
  job.set_validate_every(3);
  job.set_checkpoint_every(4);
  job.set_checkpoints_kept(2);
  const uint64_t cut = text.size() * 9 / 10;
  for (v1::DataSplit* split : {job.mutable_train(), job.mutable_held_out()}) {
    split->set_sha256(ToHex(Sha256Of(text)));
    split->set_file_bytes(text.size());
  }
  job.mutable_train()->set_end(cut);
  job.mutable_held_out()->set_begin(cut);
  job.mutable_held_out()->set_end(text.size());
  return job;
}

}  // namespace hatchery

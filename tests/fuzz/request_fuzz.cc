// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a client submits: a job that passes the checks must survive its way through JSON.
#include "hatchery/v1/coordinator.pb.h"
#include "services/common/job.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hatchery;
  v1::Job job = DefaultJob();
  job.mutable_train()->set_end(1000);
  job.mutable_train()->set_file_bytes(1000);
  job.mutable_train()->set_sha256(std::string(64, 'a'));
  if (!job.MergeFromString({reinterpret_cast<const char*>(data), size})) return 0;
  if (!ValidateJob(job).ok()) return 0;
  const auto again = JobFromJson(JobToJson(job));
  if (!again.ok() || !CheckSameRun(job, *again).ok()) __builtin_trap();
  return 0;
}

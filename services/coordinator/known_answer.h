// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "hatchery/v1/job.pb.h"
#include "kernels/status.h"

namespace hatchery::coordinator {

// The task by which a worker proves itself: a small job (some 20 ms of one CPU thread) that uses
// every part of the contract that jobs share, and the digest that it ends with, 16 bytes, computed
// here.
struct KnownAnswer {
  v1::Job task;
  std::string data;
  std::string digest;
};
StatusOr<KnownAnswer> MakeKnownAnswer();

}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What rank 0 says to the others, and what every rank answers. All ranks run the same program on
// the same kind of machine (MpiLink checks the version), so these travel as they lie in memory.
//
// A command is broadcast, then its payload; every rank does its share; then replies are gathered at
// all ranks, so that all know alike whether it worked. After a kEvaluate that worked everywhere,
// scores are gathered. The payload of kCreate is the training bytes and the held-out bytes; that of
// kApply the encoded fitness; that of kInstall and kRestore the weights.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/gang.h"

namespace hatchery {

enum class RankVerb : uint32_t { kCreate, kDestroy, kTask, kQuit };

struct RankCommand {
  RankVerb verb = RankVerb::kQuit;
  uint32_t sequence = 0;  // of this command; names it when it is given up
  uint32_t replica = 0;   // which one; rank 0 numbers them
  JobSpec spec = {};      // kCreate
  // kTask: a GangTask, without its bytes
  GangOp op = GangOp::kDigest;
  FitnessEncoding encoding = FitnessEncoding::kTernary;
  uint32_t step = 0;  // kRestore, and the commit's of kApply
  uint32_t alpha = 0, z_score = 0;
  uint64_t begin = 0, end = 0;

  uint64_t payload_bytes[2] = {};  // of the two parts of the payload, broadcast one by one
};
static_assert(std::is_trivially_copyable_v<RankCommand>);

struct RankReply {
  StatusCode code = StatusCode::kOk;
  uint32_t on_gpu = 0;  // kCreate: the replica is on a CUDA device
  HeldOutSums sums;
  core::Digest digest;
  char text[768] = {};  // the error; or, after kCreate, what the rank computes on

  void SetText(const std::string& from) {
    const size_t size = std::min(from.size(), sizeof(text) - 1);
    std::memcpy(text, from.data(), size);
    text[size] = 0;
  }
};
static_assert(std::is_trivially_copyable_v<RankReply>);

}  // namespace hatchery

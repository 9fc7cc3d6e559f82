// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Between the kernels' types and the wire's.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "hatchery/v1/coordinator.pb.h"
#include "kernels/commit.h"
#include "kernels/core/digest.h"
#include "kernels/replica.h"
#include "kernels/status.h"

namespace hatchery {

// 16 bytes: lane 0 then lane 1, little-endian.
std::string DigestToBytes(core::Digest digest);
StatusOr<core::Digest> DigestFromBytes(std::string_view bytes);

struct WireCommit {
  Commit commit;
  core::Digest digest_before;
};
v1::Commit CommitToProto(const Commit& commit, core::Digest digest_before);
// Checks encoding and digest length; the caller checks the fitness against its job (CheckFitness).
StatusOr<WireCommit> CommitFromProto(const v1::Commit& proto);

v1::HeldOutSums HeldOutToProto(const HeldOutSums& sums);
HeldOutSums HeldOutFromProto(const v1::HeldOutSums& proto);

// What a shard's members scored (Replica::Evaluate), in the encoding that the job's rule needs.
v1::ShardScores ScoresToProto(const JobSpec& spec, Shard shard, std::span<const int32_t> scores);

// Bits a byte of a sum of scores, positive; 0 if there are no tokens.
double BitsPerByte(int64_t score_sum, uint64_t tokens);
double CoarseBitsPerByte(const HeldOutSums& sums);
double Accuracy(const HeldOutSums& sums);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/convert.h"

#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/core/score.h"

namespace hatchery {

std::string DigestToBytes(core::Digest digest) {
  std::string bytes(16, '\0');
  std::memcpy(bytes.data(), &digest.lane0, 8);
  std::memcpy(bytes.data() + 8, &digest.lane1, 8);
  return bytes;
}

StatusOr<core::Digest> DigestFromBytes(std::string_view bytes) {
  if (bytes.size() != 16)
    return InvalidArgument("a digest has 16 bytes, not " + std::to_string(bytes.size()));
  core::Digest digest;
  std::memcpy(&digest.lane0, bytes.data(), 8);
  std::memcpy(&digest.lane1, bytes.data() + 8, 8);
  return digest;
}

v1::Commit CommitToProto(const Commit& commit, core::Digest digest_before) {
  v1::Commit proto;
  proto.set_step(commit.step);
  proto.set_encoding(commit.encoding == FitnessEncoding::kTernary ? v1::Commit::TERNARY
                                                                  : v1::Commit::INT8);
  proto.set_fitness(commit.fitness.data(), commit.fitness.size());
  proto.set_alpha(commit.alpha);
  proto.set_z_score(commit.z_score);
  proto.set_digest_before(DigestToBytes(digest_before));
  return proto;
}

StatusOr<WireCommit> CommitFromProto(const v1::Commit& proto) {
  if (!v1::Commit::Encoding_IsValid(proto.encoding()))
    return InvalidArgument("commit of step " + std::to_string(proto.step()) +
                           " has the unknown encoding " + std::to_string(proto.encoding()));
  WireCommit wire;
  HATCHERY_ASSIGN_OR_RETURN(wire.digest_before, DigestFromBytes(proto.digest_before()));
  wire.commit.step = proto.step();
  wire.commit.encoding =
      proto.encoding() == v1::Commit::TERNARY ? FitnessEncoding::kTernary : FitnessEncoding::kInt8;
  wire.commit.fitness.assign(proto.fitness().begin(), proto.fitness().end());
  wire.commit.alpha = proto.alpha();
  wire.commit.z_score = proto.z_score();
  return wire;
}

v1::ShardScores ScoresToProto(const JobSpec& spec, Shard shard, std::span<const int32_t> scores) {
  v1::ShardScores proto;
  proto.set_begin(shard.begin);
  proto.set_end(shard.end);
  if (spec.fitness == FitnessRule::kSign) {
    const std::vector<uint8_t> trits = EncodeSigns(scores);
    proto.set_trits(trits.data(), trits.size());
  } else {
    proto.mutable_scores()->Add(scores.begin(), scores.end());
  }
  proto.set_score_sum(std::accumulate(scores.begin(), scores.end(), int64_t{0}));
  return proto;
}

v1::HeldOutSums HeldOutToProto(const HeldOutSums& sums) {
  v1::HeldOutSums proto;
  proto.set_score(sums.score);
  proto.set_coarse_score(sums.coarse_score);
  proto.set_correct(sums.correct);
  proto.set_tokens(sums.tokens);
  return proto;
}

HeldOutSums HeldOutFromProto(const v1::HeldOutSums& proto) {
  return HeldOutSums{proto.score(), proto.coarse_score(), proto.correct(), proto.tokens()};
}

double BitsPerByte(int64_t score_sum, uint64_t tokens) {
  if (tokens == 0) return 0;
  return -static_cast<double>(score_sum) / core::kScoreUnitsPerBit / static_cast<double>(tokens);
}

double CoarseBitsPerByte(const HeldOutSums& sums) {
  if (sums.tokens == 0) return 0;
  return -static_cast<double>(sums.coarse_score) / 16 / static_cast<double>(sums.tokens);
}

double Accuracy(const HeldOutSums& sums) {
  if (sums.tokens == 0) return 0;
  return static_cast<double>(sums.correct) / static_cast<double>(sums.tokens);
}

}  // namespace hatchery

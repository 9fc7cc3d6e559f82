// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What the parts of the core share: how they name things in events and errors, and what a result
// is.
#pragma once

#include <algorithm>
#include <numeric>
#include <string>

#include "hatchery/v1/coordinator.pb.h"
#include "services/common/convert.h"
#include "services/coordinator/step_work.h"

namespace hatchery::coordinator {

// Text of a peer, fit for one line of a log.
inline std::string Clean(std::string text) {
  constexpr size_t kLongest = 256;
  text.resize(std::min(text.size(), kLongest));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) > 126) c = ' ';
  return text;
}

inline std::string Hex(const std::string& digest) {
  const auto parsed = DigestFromBytes(digest);
  return parsed.ok() ? FormatDigest(*parsed) : "(malformed)";
}

inline std::string Name(bool held_out, Shard range) {
  return (held_out ? "held-out streams [" : "pairs [") + std::to_string(range.begin) + ", " +
         std::to_string(range.end) + ")";
}

inline std::string Name(const Range& range) { return Name(range.held_out, range.shard); }

inline Part PartOf(const v1::ShardScores& scores, FitnessRule rule) {
  Part part;
  part.end = scores.end();
  part.trits = scores.trits();
  part.scores.assign(scores.scores().begin(), scores.scores().end());
  part.score_sum = scores.score_sum();
  if (rule == FitnessRule::kNormalized)  // the scores tell it themselves
    part.score_sum = std::accumulate(part.scores.begin(), part.scores.end(), int64_t{0});
  return part;
}

// Of held-out streams up to `end`.
inline Part PartOf(uint32_t end, const HeldOutSums& sums) {
  Part part;
  part.end = end;
  part.sums = sums;
  return part;
}

// `result` must be what the lease asked for.
inline Part PartOf(const LeaseState& lease, const v1::Result& result, FitnessRule rule) {
  return lease.held_out ? PartOf(lease.range.end, HeldOutFromProto(result.held_out()))
                        : PartOf(result.scores(), rule);
}

}  // namespace hatchery::coordinator

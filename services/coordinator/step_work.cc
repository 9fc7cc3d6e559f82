// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/step_work.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hatchery::coordinator {

Shard RangePool::Take(uint32_t most) {
  assert(!free_.empty() && most > 0);
  const auto first = free_.begin();
  const Shard whole{first->first, first->second};
  free_.erase(first);
  const Shard taken{whole.begin, whole.begin + std::min(most, whole.pairs())};
  if (taken.end < whole.end) free_[taken.end] = whole.end;
  return taken;
}

void RangePool::Return(Shard range) {
  auto next = free_.lower_bound(range.begin);
  assert(next == free_.end() || next->first >= range.end);
  if (next != free_.end() && next->first == range.end) {
    range.end = next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    assert(before->second <= range.begin);
    if (before->second == range.begin) {
      before->second = range.end;
      return;
    }
  }
  free_[range.begin] = range.end;
}

bool StepWork::disputed() const {
  return std::any_of(votes.begin(), votes.end(),
                     [this](const auto& vote) { return vote.second != digest; });
}

bool StepWork::Done(bool held_out, Shard range) const {
  return held_out ? stream_parts.contains(range.begin) : pair_parts.contains(range.begin);
}

std::vector<uint64_t> StepWork::LeasesOn(bool held_out, Shard range) const {
  std::vector<uint64_t> ids;
  for (const auto& [id, lease] : leases)
    if (lease.held_out == held_out && lease.range == range && !lease.audit) ids.push_back(id);
  return ids;
}

void StepWork::DropLease(uint64_t id) {
  const auto at = leases.find(id);
  if (at == leases.end()) return;
  const LeaseState lease = std::move(at->second);
  leases.erase(at);
  if (lease.audit) {
    const auto audit = audits.find(lease.range.begin);
    if (audit != audits.end() && audit->second.state == Audit::State::kLent) {
      audit->second.state = Audit::State::kWanted;
      ++audit->second.attempts;
    }
    return;
  }
  if (Done(lease.held_out, lease.range) || !LeasesOn(lease.held_out, lease.range).empty()) return;
  (lease.held_out ? streams : pairs).Return(lease.range);
}

void StepWork::AcceptPairs(uint32_t begin, PairPart part, const std::string& author) {
  assert(!pair_parts.contains(begin));
  pairs_left -= part.end - begin;
  pair_parts[begin] = std::move(part);
  authors[begin] = author;
}

void StepWork::DropPairsOf(const std::string& author) {
  for (auto at = authors.begin(); at != authors.end();) {
    if (at->second != author) {
      ++at;
      continue;
    }
    const uint32_t begin = at->first, end = pair_parts.at(begin).end;
    pairs_left += end - begin;
    pairs.Return({begin, end});
    pair_parts.erase(begin);
    audits.erase(begin);
    at = authors.erase(at);
  }
}

void StepWork::AcceptStreams(uint32_t begin, StreamPart part) {
  streams_left -= part.end - begin;
  stream_parts[begin] = part;
}

HeldOutSums StepWork::HeldOutTotal() const {
  HeldOutSums total;
  for (const auto& [begin, part] : stream_parts) total += part.sums;
  return total;
}

}  // namespace hatchery::coordinator

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

bool StepWork::Done(bool held_out, Shard range) const {
  return held_out ? stream_parts.contains(range.begin) : pair_parts.contains(range.begin);
}

std::vector<uint64_t> StepWork::LeasesOn(bool held_out, Shard range) const {
  std::vector<uint64_t> ids;
  for (const auto& [id, lease] : leases)
    if (lease.held_out == held_out && lease.range == range) ids.push_back(id);
  return ids;
}

void StepWork::DropLease(uint64_t id) {
  const auto at = leases.find(id);
  if (at == leases.end()) return;
  const LeaseState lease = std::move(at->second);
  leases.erase(at);
  if (Done(lease.held_out, lease.range) || !LeasesOn(lease.held_out, lease.range).empty()) return;
  (lease.held_out ? streams : pairs).Return(lease.range);
}

void StepWork::AcceptPairs(uint32_t begin, PairPart part) {
  pairs_left -= part.end - begin;
  pair_parts[begin] = std::move(part);
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

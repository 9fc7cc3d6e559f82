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

void Votes::Cast(const std::string& voter, const std::string& name, const std::string& digest) {
  Withdraw(voter);
  of_[voter] = {name, digest};
  ++names_[name];
  ++backers_[digest][name];
}

void Votes::Withdraw(const std::string& voter) {
  const auto vote = of_.find(voter);
  if (vote == of_.end()) return;
  const auto backers = backers_.find(vote->second.digest);
  Remove(backers->second, vote->second.name);
  if (backers->second.empty()) backers_.erase(backers);
  Remove(names_, vote->second.name);
  of_.erase(vote);
}

void Votes::Remove(Names& names, const std::string& name) {
  const auto at = names.find(name);
  if (--at->second == 0) names.erase(at);
}

const std::string* Votes::Majority() const {
  for (const auto& [digest, names] : backers_)
    if (names.size() >= 2 && 2 * names.size() > voices()) return &digest;
  return nullptr;
}

const std::string* Votes::Of(const std::string& voter) const {
  const auto vote = of_.find(voter);
  return vote == of_.end() ? nullptr : &vote->second.digest;
}

bool StepWork::Done(bool held_out, Shard range) const {
  return parts.contains({held_out, range.begin});
}

void StepWork::AddLease(uint64_t id, LeaseState lease) {
  const LeaseState& added = leases[id] = std::move(lease);
  if (added.audit) return;
  std::vector<uint64_t>& on = on_[{added.held_out, added.range.begin}];
  if (on.size() == 1) alone_.erase(ByLate(on.front()));
  on.push_back(id);
  if (on.size() == 1) alone_.insert(ByLate(id));
}

std::vector<uint64_t> StepWork::LeasesOn(bool held_out, Shard range) const {
  const auto on = on_.find({held_out, range.begin});
  return on == on_.end() ? std::vector<uint64_t>() : on->second;
}

uint64_t StepWork::MostOverdue(int64_t now, const std::string& worker) const {
  for (const auto& [late, id] : alone_) {
    if (late > now) break;
    if (leases.at(id).worker != worker) return id;
  }
  return 0;
}

void StepWork::DropLease(uint64_t id) {
  const auto at = leases.find(id);
  if (at == leases.end()) return;
  alone_.erase(ByLate(id));
  const LeaseState lease = std::move(at->second);
  leases.erase(at);
  if (lease.audit) {
    const auto audit = audits.find({lease.held_out, lease.range.begin});
    if (audit != audits.end() && audit->second.state == Audit::State::kLent) {
      audit->second.state = Audit::State::kWanted;
      ++audit->second.attempts;
    }
    return;
  }
  const auto on = on_.find({lease.held_out, lease.range.begin});
  std::erase(on->second, id);
  if (on->second.size() == 1) alone_.insert(ByLate(on->second.front()));
  const bool last = on->second.empty();
  if (last) on_.erase(on);
  if (Done(lease.held_out, lease.range) || !last) return;
  (lease.held_out ? streams : pairs).Return(lease.range);
}

void StepWork::Accept(Place place, Part part, const std::string& author) {
  assert(!parts.contains(place));
  (place.first ? streams_left : pairs_left) -= part.end - place.second;
  parts[place] = std::move(part);
  authors[place] = author;
}

void StepWork::DropPartsOf(const std::string& author) {
  for (auto at = authors.begin(); at != authors.end();) {
    if (at->second != author) {
      ++at;
      continue;
    }
    const Place place = at->first;
    const Shard range{place.second, parts.at(place).end};
    (place.first ? streams_left : pairs_left) += range.pairs();
    (place.first ? streams : pairs).Return(range);
    parts.erase(place);
    audits.erase(place);
    at = authors.erase(at);
  }
}

std::optional<HeldOutSums> StepWork::HeldOutTotal() const {
  std::optional<HeldOutSums> total;
  for (auto at = parts.lower_bound({true, 0}); at != parts.end(); ++at) {
    if (!total) total.emplace();
    *total += at->second.sums;
  }
  return total;
}

}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Leases: who gets which range, for how long, and what becomes of it.
#include <algorithm>
#include <cmath>
#include <utility>

#include "services/common/job.h"
#include "services/coordinator/core.h"
#include "services/coordinator/core_internal.h"

namespace hatchery::coordinator {
namespace {

constexpr size_t kLeasesPerWorker = 2;  // one in work, one waiting
constexpr uint32_t kPairsAlign = 5;     // trits a byte
constexpr int64_t kShortestDeadline = 10'000, kUnmeasuredDeadline = 60'000;
constexpr int64_t kLongestDeadline = 3'600'000;
constexpr int64_t kHedgeFloor = 200;

uint32_t RoundUp(double value, uint32_t multiple, uint32_t most) {
  const double bounded = std::clamp(value, 1.0, static_cast<double>(std::max(1u, most)));
  const uint64_t whole = static_cast<uint64_t>(std::ceil(bounded));
  return static_cast<uint32_t>((whole + multiple - 1) / multiple * multiple);
}

}  // namespace

// ---- Leases ------------------------------------------------------------------------------------

void Core::Lend(Run& run) {
  if (!run.work || run.pending || run.work->disputed()) return;
  for (bool lent = true; lent;) {  // in rounds, so that the first worker does not get everything
    lent = false;
    for (auto& [id, worker] : workers_) lent = LendTo(id, worker, run) || lent;
  }
}

bool Core::LendTo(const std::string& id, Worker& worker, Run& run) {
  if (!Works(worker, run) || now_ < worker.rests_until ||
      worker.leases.size() >= kLeasesPerWorker)
    return false;
  if (LendAudit(id, worker, run)) return true;
  StepWork& work = *run.work;
  const bool held_out = work.pairs.empty();
  RangePool& pool = held_out ? work.streams : work.pairs;
  if (pool.empty()) return worker.leases.empty() && Hedge(id, worker, run);
  SendLease(id, worker, run, held_out, pool.Take(LeaseSize(worker, run, held_out)),
            Purpose::kWork);
  return true;
}

// Copies the lease that is most overdue by its own measure to an idle worker.
bool Core::Hedge(const std::string& id, Worker& worker, Run& run) {
  const LeaseState* slowest = nullptr;
  for (const auto& [lease_id, lease] : run.work->leases) {
    if (lease.worker == id || lease.audit || now_ - lease.issued < std::max(kHedgeFloor, 2 * lease.expected) ||
        run.work->LeasesOn(lease.held_out, lease.range).size() > 1)
      continue;
    if (slowest == nullptr || lease.issued < slowest->issued) slowest = &lease;
  }
  if (slowest == nullptr) return false;
  SendLease(id, worker, run, slowest->held_out, slowest->range, Purpose::kHedge);
  return true;
}

// A quarter of the worker's share of the step; a 32nd of the step while its speed is unknown.
uint32_t Core::LeaseSize(const Worker& worker, const Run& run, bool held_out) const {
  const auto speed = [&](const Worker& w) { return held_out ? w.streams_per_ms : w.pairs_per_ms; };
  double all = 0;
  for (const auto& [id, other] : workers_)
    if (Works(other, run)) all += speed(other);
  const uint32_t total = held_out ? run.record.job.held_out_streams() : run.record.spec.pairs();
  const double share = speed(worker) > 0 ? speed(worker) / all / 4 : 1.0 / 32;
  const double size = std::max(total * share / static_cast<double>(worker.patience), total / 64.0);
  return RoundUp(size, held_out ? 1 : kPairsAlign, total);
}

// A worker cannot tell an audit from other work.
void Core::SendLease(const std::string& id, Worker& worker, Run& run, bool held_out, Shard range,
                     Purpose purpose) {
  const double speed = held_out ? worker.streams_per_ms : worker.pairs_per_ms;
  LeaseState lease;
  lease.worker = id;
  lease.held_out = held_out;
  lease.range = range;
  lease.issued = now_;
  lease.hedge = purpose == Purpose::kHedge;
  lease.audit = purpose == Purpose::kAudit;
  // Whatever waits before it is of the same size or smaller, hence twice.
  lease.expected = speed > 0 ? static_cast<int64_t>(std::min(2 * range.pairs() / speed, 1e8))
                             : kUnmeasuredDeadline / 8;
  const int64_t floor = speed > 0 ? kShortestDeadline : kUnmeasuredDeadline;
  const int64_t allowed =
      std::min(worker.patience * std::max(floor, 8 * lease.expected), kLongestDeadline);
  lease.deadline = now_ + allowed;
  const uint64_t lease_id = next_lease_++;
  v1::CoordinatorMessage message;
  v1::Lease& proto = *message.mutable_lease();
  proto.set_job_id(run.record.id);
  proto.set_step(run.record.step);
  proto.set_lease_id(lease_id);
  proto.set_deadline_milliseconds(static_cast<uint32_t>(allowed));
  if (held_out) {
    const bool empty = !HasHeldOut(run.record.job);
    proto.mutable_held_out()->set_begin(empty ? 0 : range.begin);
    proto.mutable_held_out()->set_end(empty ? 0 : range.end);
  } else {
    proto.mutable_pairs()->set_begin(range.begin);
    proto.mutable_pairs()->set_end(range.end);
  }
  worker.leases.push_back(lease_id);
  run.work->leases[lease_id] = std::move(lease);
  Say(id, std::move(message));
}

void Core::ForgetLease(Run& run, uint64_t lease_id) {
  const auto lease = run.work->leases.find(lease_id);
  if (lease == run.work->leases.end()) return;
  if (const auto holder = workers_.find(lease->second.worker); holder != workers_.end())
    std::erase(holder->second.leases, lease_id);
  run.work->DropLease(lease_id);
}

void Core::ExpireLease(Run& run, uint64_t lease_id) {
  const LeaseState lease = run.work->leases.at(lease_id);
  Log(run.record.id, lease.worker, run.record.step, "lease_expired",
      Name(lease.held_out, lease.range) + " took more than " +
          std::to_string(lease.deadline - lease.issued) + " ms; they go to whoever is free");
  if (const auto holder = workers_.find(lease.worker); holder != workers_.end())
    holder->second.patience = std::min<int64_t>(holder->second.patience * 2, 1024);
  Revoke(lease.worker, lease_id);
  ForgetLease(run, lease_id);
}

void Core::Revoke(const std::string& worker, uint64_t lease_id) {
  v1::CoordinatorMessage message;
  message.mutable_revoke()->set_lease_id(lease_id);
  Say(worker, std::move(message));
}

void Core::ReturnLeases(const std::string& id, Worker& worker) {
  const auto run = runs_.find(worker.job);
  for (const uint64_t lease : std::exchange(worker.leases, {}))
    if (run != runs_.end() && run->second.work) run->second.work->DropLease(lease);
  if (run != runs_.end()) ForgetAsk(run->second, id);
}

}  // namespace hatchery::coordinator

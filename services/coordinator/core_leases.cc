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

// An unmeasured worker is believed to be an average one of at least so many.
constexpr uint32_t kUnmeasuredAmong = 8;
// No lease is smaller than this part of an average worker's quarter, of at least so many workers.
constexpr double kSmallestPart = 1.0 / 4;
constexpr uint32_t kSmallestAmong = 4;
// For a whole round a lease may be so many quarters of its worker's share: a little more than all,
// or workers of equal speed would leave a sliver of the step, which costs a round too.
constexpr double kMostQuarters = 5;
// A step that a lone worker does in so many milliseconds is one lease: no more is lost if it dies,
// and a second worker waits no longer for its part.
constexpr double kShortStep = 1000;
// Of every lease: a multiple of kPairsAlign, and its scores fit a message (services/common/rpc.h).
constexpr uint32_t kMostPairs = 2'000'000;

uint32_t RoundUp(double value, uint32_t multiple, uint32_t most) {
  const double bounded = std::clamp(value, 1.0, static_cast<double>(std::max(1u, most)));
  const uint64_t whole = static_cast<uint64_t>(std::ceil(bounded));
  return static_cast<uint32_t>((whole + multiple - 1) / multiple * multiple);
}

// The whole rounds nearest to `wanted`, at least one unless that is too much. A part of a round
// takes as long as all of it: hence whole ones, and down to a multiple, as one pair more is a round
// more.
uint32_t InRounds(double wanted, double round, uint32_t multiple, uint32_t most) {
  if (round <= multiple) return RoundUp(wanted, multiple, most);
  const double whole = std::max(1.0, std::round(wanted / round)) * round;
  const uint32_t down = static_cast<uint32_t>(std::min<double>(whole, kMostPairs)) / multiple;
  return std::min(down * multiple, RoundUp(kMostQuarters * wanted, multiple, most));
}

}  // namespace

const Strength& Core::StrengthOf(const Run& run) {
  if (strength_) return *strength_;
  Strength& all = strength_.emplace();
  uint32_t pairs_known = 0, streams_known = 0;
  for (const auto& [id, worker] : workers_) {
    if (worker.job != run.record.id) continue;
    ++all.workers;  // those that load it too, or the first to be ready would get everything
    all.pairs_per_ms += worker.pairs_per_ms;
    all.streams_per_ms += worker.streams_per_ms;
    pairs_known += worker.pairs_per_ms > 0;
    streams_known += worker.streams_per_ms > 0;
  }
  if (pairs_known > 0) all.pairs_per_ms /= pairs_known;
  if (streams_known > 0) all.streams_per_ms /= streams_known;
  return all;
}

void Core::Lend(Run& run) {
  if (!run.work || run.pending || run.work->disputed()) return;
  LendAudits(run);
  StepWork& work = *run.work;
  // In rounds, so that the first worker does not get everything.
  for (bool lent = true; lent;) {
    lent = false;
    ForHungry(run, [&](const std::string& id, Worker& worker) {
      const bool held_out = work.pairs.empty();
      RangePool& pool = held_out ? work.streams : work.pairs;
      if (pool.empty()) return false;
      SendLease(id, worker, run, held_out, pool.Take(LeaseSize(worker, run, held_out)),
                Purpose::kWork);
      return lent = true;
    });
  }
}

// Copies the leases that are late to workers that have nothing to do, the most overdue first.
void Core::Hedge(Run& run) {
  if (!run.work || run.pending || run.work->disputed() || run.work->HasFree()) return;
  ForHungry(run, [&](const std::string& id, Worker& worker) {
    if (!worker.leases.empty() || worker.doubtful) return true;
    const uint64_t overdue = run.work->MostOverdue(now_, id);
    if (overdue == 0) return true;
    const LeaseState& lease = run.work->leases.at(overdue);
    SendLease(id, worker, run, lease.held_out, lease.range, Purpose::kHedge);
    return true;
  });
}

void Core::ForHungry(const Run& run,
                     const std::function<bool(const std::string&, Worker&)>& visit) {
  for (const bool doubtful : {false, true}) {
    for (auto at = hungry_.begin(); at != hungry_.end();) {
      const auto worker = workers_.find(*at);
      if (worker == workers_.end() || !Hungry(worker->second, run)) {
        at = hungry_.erase(at);
        continue;
      }
      const std::string& id = *at++;
      if (worker->second.doubtful == doubtful && !visit(id, worker->second)) return;
    }
  }
}

void Core::Doubt(const std::string& worker) {
  if (const auto at = workers_.find(worker); at != workers_.end()) at->second.doubtful = true;
}

bool Core::Abreast(const Worker& worker, const Run& run) const {
  return Works(worker, run) && worker.step + 1 >= run.record.step;
}

bool Core::Hungry(const Worker& worker, const Run& run) const {
  return Abreast(worker, run) && now_ >= worker.rests_until &&
         worker.leases.size() < kLeasesPerWorker;
}

// About a quarter of the worker's share of the step, in whole rounds of its device.
uint32_t Core::LeaseSize(const Worker& worker, const Run& run, bool held_out) {
  const Strength& all = StrengthOf(run);
  const double speed = held_out ? worker.streams_per_ms : worker.pairs_per_ms;
  const double mean = held_out ? all.streams_per_ms : all.pairs_per_ms;
  const double times_average = speed > 0 && mean > 0 ? speed / mean : 1;
  const uint32_t among = speed > 0 ? all.workers : std::max(all.workers, kUnmeasuredAmong);
  const uint32_t total = held_out ? run.record.job.held_out_streams() : run.record.spec.pairs();
  const uint32_t most = std::min(total, kMostPairs);
  if (all.workers == 1 && worker.patience == 1 && speed > 0 && total <= kShortStep * speed)
    return most;
  const double quarter = total * times_average / among / 4;
  const double smallest = kSmallestPart * total / std::max(all.workers, kSmallestAmong) / 4;
  const double round = worker.round_pairs <= 1 ? 1 : (held_out ? 2.0 : 1.0) * worker.round_pairs;
  return InRounds(std::max(quarter / static_cast<double>(worker.patience), smallest), round,
                  held_out ? 1 : kPairsAlign, most);
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
  lease.audit = purpose == Purpose::kAudit;
  // Whatever waits before it is of the same size or smaller, hence twice.
  lease.expected = speed > 0 ? static_cast<int64_t>(std::min(2 * range.pairs() / speed, 1e8))
                             : kUnmeasuredDeadline / 8;
  lease.late = now_ + std::max(kHedgeFloor, 2 * lease.expected);
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
  if (purpose == Purpose::kWork) ++tally_.shards_assigned;
  if (purpose == Purpose::kHedge) ++tally_.shards_hedged;
  worker.leases.push_back(lease_id);
  run.work->AddLease(lease_id, std::move(lease));
  Say(id, std::move(message));
}

void Core::ForgetLease(Run& run, uint64_t lease_id) {
  const auto lease = run.work->leases.find(lease_id);
  if (lease == run.work->leases.end()) return;
  if (const auto holder = workers_.find(lease->second.worker); holder != workers_.end()) {
    std::erase(holder->second.leases, lease_id);
    hungry_.insert(holder->first);
  }
  run.work->DropLease(lease_id);
}

void Core::ExpireLease(Run& run, uint64_t lease_id) {
  const LeaseState lease = run.work->leases.at(lease_id);
  Log(run.record.id, lease.worker, run.record.step, "lease_expired",
      Name(lease.held_out, lease.range) + " took more than " +
          std::to_string(lease.deadline - lease.issued) + " ms; they go to whoever is free");
  if (const auto holder = workers_.find(lease.worker); holder != workers_.end())
    holder->second.patience = std::min<int64_t>(holder->second.patience * 2, 1024);
  ++tally_.shards_expired;
  Doubt(lease.worker);
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
  tally_.shards_withdrawn += worker.leases.size();
  for (const uint64_t lease : std::exchange(worker.leases, {}))
    if (run != runs_.end() && run->second.work) run->second.work->DropLease(lease);
  if (run != runs_.end()) ForgetAsk(run->second, id);
}

}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Workers: what they say, and leases.
#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/core/version.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/protocol.h"
#include "services/coordinator/core.h"

namespace hatchery::coordinator {
namespace {

constexpr size_t kLeasesPerWorker = 2;  // one in work, one waiting
constexpr uint32_t kPairsAlign = 5;     // trits a byte
constexpr int64_t kShortestDeadline = 10'000, kUnmeasuredDeadline = 60'000;
constexpr int64_t kLongestDeadline = 3'600'000;
constexpr int64_t kHedgeFloor = 200;
constexpr uint32_t kDisputesAllowed = 5;
constexpr size_t kLongestText = 256;

// Text of a peer, fit for one line of a log.
std::string Clean(std::string text) {
  text.resize(std::min(text.size(), kLongestText));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) > 126) c = ' ';
  return text;
}

std::string Hex(const std::string& digest) {
  const auto parsed = DigestFromBytes(digest);
  return parsed.ok() ? FormatDigest(*parsed) : "(malformed)";
}

std::string Name(bool held_out, Shard range) {
  return (held_out ? "held-out streams [" : "pairs [") + std::to_string(range.begin) + ", " +
         std::to_string(range.end) + ")";
}

uint32_t RoundUp(double value, uint32_t multiple, uint32_t most) {
  const double bounded = std::clamp(value, 1.0, static_cast<double>(std::max(1u, most)));
  const uint64_t whole = static_cast<uint64_t>(std::ceil(bounded));
  return static_cast<uint32_t>((whole + multiple - 1) / multiple * multiple);
}

PairPart PartOf(const v1::ShardScores& scores) {
  PairPart part;
  part.end = scores.end();
  part.trits = scores.trits();
  part.scores.assign(scores.scores().begin(), scores.scores().end());
  part.score_sum = scores.score_sum();
  return part;
}

}  // namespace

// ---- What workers say --------------------------------------------------------------------------

Core::Actions Core::WorkerSaid(int64_t now, const std::string& id,
                               const v1::WorkerMessage& message) {
  now_ = now;
  const auto at = workers_.find(id);
  if (at == workers_.end()) return Take();  // it was closed; what was on its way is dropped
  Worker& worker = at->second;
  worker.heard = now;
  using Kind = v1::WorkerMessage;
  const bool greeting = message.kind_case() == Kind::kHello;
  if (greeting != (worker.phase == Phase::kConnected)) {
    Expel(id, InvalidArgument(greeting ? "a second Hello on one stream"
                                       : "the first message of a stream must be Hello"));
    return Take();
  }
  switch (message.kind_case()) {
    case Kind::kHello:
      OnHello(id, worker, message.hello());
      break;
    case Kind::kKnownAnswer:
      OnKnownAnswer(id, worker, message.known_answer());
      break;
    case Kind::kReady:
      OnReady(id, worker, message.ready());
      break;
    case Kind::kResult:
      OnResult(id, worker, message.result());
      break;
    case Kind::kFailure:
      OnFailure(id, worker, message.failure());
      break;
    case Kind::kHeartbeat:
      break;
    case Kind::kGoodbye:
      DropWorker(id, "it said goodbye: " + Clean(message.goodbye().reason()));
      actions_.push_back(CloseWorker{id, Status()});
      break;
    case Kind::KIND_NOT_SET:
      Expel(id, InvalidArgument("a message of an unknown kind; update the older of the two"));
  }
  return Take();
}

void Core::OnHello(const std::string& id, Worker& worker, const v1::Hello& hello) {
  const auto refuse = [&](const std::string& what, uint32_t theirs, uint32_t ours) {
    Expel(id, FailedPrecondition("the worker's " + what + " version is " + std::to_string(theirs) +
                                 ", the coordinator's is " + std::to_string(ours) +
                                 "; install the same hatchery release on both"));
  };
  if (hello.protocol_version() != kProtocolVersion)
    return refuse("protocol", hello.protocol_version(), kProtocolVersion);
  if (hello.contract_version() != core::kContractVersion)
    return refuse("contract", hello.contract_version(), core::kContractVersion);
  worker.hello.set_name(Clean(hello.name()));
  worker.hello.set_backend(Clean(hello.backend()));
  worker.hello.set_device(Clean(hello.device()));
  worker.hello.set_software_version(Clean(hello.software_version()));
  v1::CoordinatorMessage message;
  v1::Welcome& welcome = *message.mutable_welcome();
  welcome.set_worker_id(id);
  welcome.set_heartbeat_seconds(options_.heartbeat_seconds);
  const bool test = !options_.known_answer_digest.empty();
  if (test) {
    *welcome.mutable_task() = options_.known_answer_task;
    welcome.set_task_data(options_.known_answer_data);
  }
  worker.phase = test ? Phase::kProving : Phase::kIdle;
  Say(id, std::move(message));
  Log("", id, 0, "worker_joined", worker.hello.name() + ", " + worker.hello.device());
}

void Core::OnKnownAnswer(const std::string& id, Worker& worker, const v1::KnownAnswer& answer) {
  if (worker.phase != Phase::kProving)
    return Expel(id, InvalidArgument("an answer to a known-answer task that nobody asked for"));
  if (answer.digest() != options_.known_answer_digest)
    return Expel(id, FailedPrecondition(
                         "the known-answer task gave digest " + Hex(answer.digest()) +
                         " instead of " + Hex(options_.known_answer_digest) +
                         ": this worker does not compute what the contract says; check its build "
                         "and its hardware"));
  worker.phase = Phase::kIdle;
}

void Core::OnReady(const std::string& id, Worker& worker, const v1::Ready& ready) {
  if (worker.job.empty() || worker.job != ready.job_id()) return;  // crossed a Release
  Run& run = runs_.at(worker.job);
  if (ready.digest().size() != 16)
    return Expel(
        id, InvalidArgument("a digest has 16 bytes, not " + std::to_string(ready.digest().size())));
  // One ahead is fine: a commit can be fetched as soon as it is durable.
  if (ready.step() > run.record.step + (run.appending ? 1u : 0u)) {
    Log(worker.job, id, ready.step(), "worker_ahead",
        "the worker is at step " + std::to_string(ready.step()) + ", the journal at step " +
            std::to_string(run.record.step) + "; it loads the job anew");
    return Assign(id, worker, run, true);
  }
  worker.phase = Phase::kReady;
  if (ready.step() == run.record.step) Vote(id, run, ready.digest());
}

void Core::OnFailure(const std::string& id, Worker& worker, const v1::Failure& failure) {
  Log(failure.job_id() == worker.job ? worker.job : "", id, 0, "worker_failure",
      Clean(failure.message()));
  const auto at = runs_.find(worker.job);
  if (at == runs_.end() || failure.lease_id() == 0) return;
  worker.failures = std::min(worker.failures + 1, 5u);
  worker.rests_until = now_ + (int64_t{500} << worker.failures);
  if (!std::count(worker.leases.begin(), worker.leases.end(), failure.lease_id())) return;
  ForgetLease(at->second, failure.lease_id());
}

// ---- Results -----------------------------------------------------------------------------------

void Core::OnResult(const std::string& id, Worker& worker, const v1::Result& result) {
  const auto at = runs_.find(result.job_id());
  if (at == runs_.end() || worker.job != result.job_id()) return;  // crossed a Release
  Run& run = at->second;
  if (result.step() > run.record.step)
    return Expel(id, InvalidArgument("a result for step " + std::to_string(result.step()) +
                                     " of job " + result.job_id() + ", which is at step " +
                                     std::to_string(run.record.step)));
  if (result.digest().size() != 16)
    return Expel(id, InvalidArgument("a result's digest has 16 bytes, not " +
                                     std::to_string(result.digest().size())));
  if (result.step() < run.record.step || !run.work) return;  // late
  const auto lease = run.work->leases.find(result.lease_id());
  if (lease == run.work->leases.end()) return CompareLate(id, run, result);
  if (lease->second.worker != id)
    return Expel(id, InvalidArgument("a result for lease " + std::to_string(result.lease_id()) +
                                     ", which another worker holds"));
  if (const Status status = CheckResult(run, lease->second, result); !status.ok())
    return Expel(id, status);
  if (!Vote(id, run, result.digest())) return;
  AcceptResult(worker, run, result.lease_id(), result);
}

Status Core::CheckResult(const Run& run, const LeaseState& lease, const v1::Result& result) const {
  const std::string what = Name(lease.held_out, lease.range);
  if (!(result.has_scores() && !lease.held_out) && !(result.has_held_out() && lease.held_out))
    return InvalidArgument("the result for " + what + " is of another kind than its lease");
  const v1::Job& job = run.record.job;
  if (lease.held_out) {
    uint64_t tokens = 0;
    if (HasHeldOut(job)) {
      const uint64_t bytes = job.held_out().end() - job.held_out().begin();
      tokens = (bytes / job.held_out_streams() - 1) * lease.range.pairs();
    }
    if (result.held_out().tokens() != tokens || result.held_out().correct() > tokens)
      return InvalidArgument("the result for " + what + " counts " +
                             std::to_string(result.held_out().tokens()) + " tokens, not " +
                             std::to_string(tokens));
    return {};
  }
  const v1::ShardScores& scores = result.scores();
  if (scores.begin() != lease.range.begin || scores.end() != lease.range.end)
    return InvalidArgument("a result for " + Name(false, {scores.begin(), scores.end()}) +
                           " on a lease for " + what);
  if (run.record.spec.fitness == FitnessRule::kSign) {
    const std::string& trits = scores.trits();
    const Status status = CheckFitness(
        FitnessEncoding::kTernary, {reinterpret_cast<const uint8_t*>(trits.data()), trits.size()},
        lease.range.pairs());
    if (!status.ok() || scores.scores_size() != 0)
      return InvalidArgument("the result for " + what + " is malformed: " +
                             (status.ok() ? "it has scores beside its signs" : status.message()));
  } else if (static_cast<uint64_t>(scores.scores_size()) != 2ull * lease.range.pairs() ||
             !scores.trits().empty()) {
    return InvalidArgument("the result for " + what + " has " +
                           std::to_string(scores.scores_size()) + " scores, not " +
                           std::to_string(2ull * lease.range.pairs()));
  }
  return {};
}

// A second result for a range that is done: it must have the same bytes.
void Core::CompareLate(const std::string& id, Run& run, const v1::Result& result) {
  bool same = true;
  if (result.has_scores()) {
    const auto part = run.work->pair_parts.find(result.scores().begin());
    same = part == run.work->pair_parts.end() || part->second.end != result.scores().end() ||
           part->second == PartOf(result.scores());
  }
  if (same && (run.work->digest.empty() || result.digest() == run.work->digest)) return;
  Log(run.record.id, id, result.step(), "duplicate_differs",
      "a late result differs from the one that was accepted; it is ignored");
}

bool Core::Vote(const std::string& id, Run& run, const std::string& digest) {
  if (!run.work) return true;
  if (run.record.step == 0 && digest != run.record.initial_digest) {
    Log(run.record.id, id, 0, "digest_wrong",
        "the worker's replica of step 0 has digest " + Hex(digest) + ", the job's is " +
            Hex(run.record.initial_digest));
    Expel(id, FailedPrecondition("its replica of step 0 has digest " + Hex(digest) +
                                 " instead of " + Hex(run.record.initial_digest) +
                                 "; check the worker's build and its hardware"));
    return false;
  }
  StepWork& work = *run.work;
  work.votes[id] = digest;
  if (work.digest.empty()) work.digest = digest;
  if (work.digest == digest) return true;
  Dispute(id, run, digest);
  return false;
}

void Core::Dispute(const std::string& id, Run& run, const std::string& digest) {
  Log(run.record.id, id, run.record.step, "digest_disputed",
      "digest " + Hex(digest) + " differs from the others' " + Hex(run.work->digest));
  if (++run.disputes > kDisputesAllowed)
    return PauseRun(run, "workers compute different digests at step " +
                             std::to_string(run.record.step) +
                             "; see the job's events, remove the wrong worker and resume");
  std::map<std::string, size_t> counts;
  for (const auto& [voter, vote] : run.work->votes) ++counts[vote];
  std::string winner;
  for (const auto& [vote, count] : counts)
    if (2 * count > run.work->votes.size()) winner = vote;
  std::vector<std::string> losers;
  for (const auto& [voter, vote] : run.work->votes)
    if (vote != winner) losers.push_back(voter);
  // The accepted results were all computed on work.digest.
  const bool keep = winner == run.work->digest;
  if (!keep) {
    for (auto& [other, worker] : workers_) {
      if (worker.job != run.record.id) continue;
      for (const uint64_t lease : worker.leases) Revoke(other, lease);
      worker.leases.clear();
    }
    auto votes = std::move(run.work->votes);
    StartStep(run);
    run.work->digest = winner;
    run.work->votes = std::move(votes);
  }
  for (const std::string& loser : losers) {
    run.work->votes.erase(loser);
    Assign(loser, workers_.at(loser), run, true);
  }
}

void Core::AcceptResult(Worker& worker, Run& run, uint64_t lease_id, const v1::Result& result) {
  StepWork& work = *run.work;
  const LeaseState lease = work.leases.at(lease_id);
  if (lease.held_out) {
    work.AcceptStreams(lease.range.begin, {lease.range.end, HeldOutFromProto(result.held_out())});
  } else {
    PairPart part = PartOf(result.scores());
    if (run.record.spec.fitness == FitnessRule::kNormalized) {
      part.score_sum = 0;
      for (const int32_t score : part.scores) part.score_sum += score;
    }
    work.AcceptPairs(lease.range.begin, std::move(part));
    worker.pairs_done += lease.range.pairs();
  }
  const double ms = std::isfinite(result.seconds()) ? result.seconds() * 1000 : 0;
  const double speed = lease.range.pairs() / std::clamp(ms, 0.01, 3.6e6);
  double& known = lease.held_out ? worker.streams_per_ms : worker.pairs_per_ms;
  known = known == 0 ? speed : (known + speed) / 2;
  worker.patience = 1;
  worker.failures = 0;
  for (const uint64_t other : work.LeasesOn(lease.held_out, lease.range)) {
    if (other != lease_id) Revoke(work.leases.at(other).worker, other);
    ForgetLease(run, other);
  }
  if (work.complete() && !run.pending) FinishStep(run);
}

// ---- Leases ------------------------------------------------------------------------------------

void Core::Lend(Run& run) {
  if (!run.work || run.pending) return;
  for (bool lent = true; lent;) {  // in rounds, so that the first worker does not get everything
    lent = false;
    for (auto& [id, worker] : workers_) lent = LendTo(id, worker, run) || lent;
  }
}

bool Core::LendTo(const std::string& id, Worker& worker, Run& run) {
  if (worker.phase != Phase::kReady || worker.job != run.record.id || now_ < worker.rests_until ||
      worker.leases.size() >= kLeasesPerWorker)
    return false;
  StepWork& work = *run.work;
  const bool held_out = work.pairs.empty();
  RangePool& pool = held_out ? work.streams : work.pairs;
  if (pool.empty()) return worker.leases.empty() && Hedge(id, worker, run);
  SendLease(id, worker, run, held_out, pool.Take(LeaseSize(worker, run, held_out)), false);
  return true;
}

// Copies the lease that is most overdue by its own measure to an idle worker.
bool Core::Hedge(const std::string& id, Worker& worker, Run& run) {
  const LeaseState* slowest = nullptr;
  for (const auto& [lease_id, lease] : run.work->leases) {
    if (lease.worker == id || now_ - lease.issued < std::max(kHedgeFloor, 2 * lease.expected) ||
        run.work->LeasesOn(lease.held_out, lease.range).size() > 1)
      continue;
    if (slowest == nullptr || lease.issued < slowest->issued) slowest = &lease;
  }
  if (slowest == nullptr) return false;
  SendLease(id, worker, run, slowest->held_out, slowest->range, true);
  return true;
}

// A quarter of the worker's share of the step; a 32nd of the step while its speed is unknown.
uint32_t Core::LeaseSize(const Worker& worker, const Run& run, bool held_out) const {
  const auto speed = [&](const Worker& w) { return held_out ? w.streams_per_ms : w.pairs_per_ms; };
  double all = 0;
  for (const auto& [id, other] : workers_)
    if (other.phase == Phase::kReady && other.job == run.record.id) all += speed(other);
  const uint32_t total = held_out ? run.record.job.held_out_streams() : run.record.spec.pairs();
  const double share = speed(worker) > 0 ? speed(worker) / all / 4 : 1.0 / 32;
  const double size = std::max(total * share / static_cast<double>(worker.patience), total / 64.0);
  return RoundUp(size, held_out ? 1 : kPairsAlign, total);
}

void Core::SendLease(const std::string& id, Worker& worker, Run& run, bool held_out, Shard range,
                     bool hedge) {
  const double speed = held_out ? worker.streams_per_ms : worker.pairs_per_ms;
  LeaseState lease;
  lease.worker = id;
  lease.held_out = held_out;
  lease.range = range;
  lease.issued = now_;
  lease.hedge = hedge;
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
  if (run != runs_.end() && run->second.ask && run->second.ask->worker == id)
    run->second.ask.reset();
}

// ---- Leaving -----------------------------------------------------------------------------------

void Core::DropWorker(const std::string& id, const std::string& why) {
  Worker& worker = workers_.at(id);
  ReturnLeases(id, worker);
  const auto run = runs_.find(worker.job);
  if (run != runs_.end() && run->second.work) run->second.work->votes.erase(id);
  Log(worker.job, id, run != runs_.end() ? run->second.record.step : 0, "worker_left", why);
  workers_.erase(id);
}

void Core::Expel(const std::string& id, Status status) {
  DropWorker(id, "its session was closed: " + status.message());
  actions_.push_back(CloseWorker{id, std::move(status)});
}

}  // namespace hatchery::coordinator

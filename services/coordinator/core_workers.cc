// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Workers: what they say, and how they leave.
#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/core/score.h"
#include "kernels/core/version.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/protocol.h"
#include "services/coordinator/core.h"
#include "services/coordinator/core_internal.h"

namespace hatchery::coordinator {
namespace {

constexpr uint32_t kLoadFailuresAllowed = 6;
constexpr int64_t kLoadPatience = 600'000;  // milliseconds, for those who neither fail nor are done
constexpr uint32_t kComplaintsAllowed = 200;  // since the last result; each is an event
// Of one token's score, in bits: no logit can be further from the rest, nor better than certain
// but by rounding.
constexpr int64_t kWorstBits = 32;
constexpr double kRoundingBits = 1.0 / 64;

// Whether a sum over `tokens` of scores in 1/`units` bit can be true.
bool Possible(int64_t sum, uint64_t tokens, int64_t units) {
  return static_cast<double>(sum) <= kRoundingBits * static_cast<double>(units) * tokens + 1 &&
         static_cast<double>(sum) >= -static_cast<double>(kWorstBits * units) * tokens;
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
      OnHeartbeat(id, worker, message.heartbeat());
      break;
    case Kind::kGoodbye:
      DropWorker(id, "it said goodbye: " + Clean(message.goodbye().reason()));
      actions_.push_back(CloseWorker{id, Status()});
      break;
    case Kind::kCheckpointHash:
      OnCheckpointHash(id, message.checkpoint_hash());
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
  const auto strikes = strikes_.find(worker.hello.name());
  if (strikes != strikes_.end() && strikes->second > kStrikesAllowed)
    return Expel(id, FailedPrecondition("worker " + worker.hello.name() +
                                        " was sent away for wrong answers; mend it and start it "
                                        "under another --name"));
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
  if (!test) idle_.insert(id);
  Say(id, std::move(message));
  actions_.push_back(WorkerChanged{StateOf(id, worker)});
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
  idle_.insert(id);
}

// Words may overtake each other.
void Core::Reported(const std::string& id, Worker& worker, uint32_t step) {
  if (step > worker.step) worker.doubtful = false;
  worker.step = std::max(worker.step, step);
  hungry_.insert(id);
}

// A worker that was ready and has the job no more has lost its way; it would hold leases for ever.
void Core::OnHeartbeat(const std::string& id, Worker& worker, const v1::Heartbeat& heartbeat) {
  const auto run = runs_.find(worker.job);
  if (worker.phase != Phase::kReady || run == runs_.end()) return;
  if (heartbeat.job_id() == worker.job) return Reported(id, worker, heartbeat.step());
  Log(worker.job, id, run->second.record.step, "worker_lost_job",
      "the worker has not the job that it was ready for; it takes it up again");
  Assign(id, worker, run->second, false);
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
  if (worker.phase != Phase::kReady) strength_.reset();
  worker.phase = Phase::kReady;
  worker.round_pairs = ready.round_pairs();
  Reported(id, worker, ready.step());
  worker.load_failures = 0;
  run.load_trouble_since = -1;
  if (ready.step() == run.record.step)
    Vote(id, run, ready.digest());
  else
    CheckSettled(id, run, ready.step(), ready.digest());
}

void Core::OnFailure(const std::string& id, Worker& worker, const v1::Failure& failure) {
  Log(failure.job_id() == worker.job ? worker.job : "", id, 0, "worker_failure",
      Clean(failure.message()));
  if (++worker.complaints > kComplaintsAllowed)
    return Expel(id, ResourceExhausted("more than " + std::to_string(kComplaintsAllowed) +
                                       " failures without a result; see this worker's log"));
  const auto at = runs_.find(worker.job);
  if (at == runs_.end()) return;
  if (failure.digest().size() == 16 && failure.job_id() == worker.job) {
    // Its memory has changed: it says so itself, and nobody else needs to be asked.
    if (failure.lease_id() != 0) return Quarantine(id, at->second, Clean(failure.message()));
    CheckSettled(id, at->second, failure.step(), failure.digest());
  }
  if (!workers_.contains(id)) return;
  if (failure.lease_id() == 0) return OnLoadFailure(worker, at->second, failure);
  worker.failures = std::min(worker.failures + 1, 5u);
  worker.rests_until = now_ + (int64_t{500} << worker.failures);
  if (!std::count(worker.leases.begin(), worker.leases.end(), failure.lease_id())) return;
  ++tally_.shards_failed;
  ForgetLease(at->second, failure.lease_id());
}

// A job that nobody can load must not keep the workers from the others for ever. Each fails for
// itself: one broken worker, or a liar, does not speak for those who have not tried enough, but
// those who take for ever do not hold up the rest either.
void Core::OnLoadFailure(Worker& worker, Run& run, const v1::Failure& failure) {
  if (worker.phase != Phase::kLoading) return;
  if (++worker.load_failures < kLoadFailuresAllowed) return;
  if (run.load_trouble_since < 0) run.load_trouble_since = now_;
  const bool patient = now_ - run.load_trouble_since < kLoadPatience;
  for (const auto& [id, other] : workers_) {
    if (Works(other, run)) return;
    if (patient && other.job == run.record.id && other.load_failures < kLoadFailuresAllowed) return;
  }
  if (run.runnable()) PauseRun(run, "no worker can load it: " + Clean(failure.message()));
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
  worker.doubtful = false;
  if (result.step() < run.record.step || !run.work) return;  // late
  const auto lease = run.work->leases.find(result.lease_id());
  if (lease == run.work->leases.end()) return CompareLate(id, run, result);
  if (lease->second.worker != id)
    return Expel(id, InvalidArgument("a result for lease " + std::to_string(result.lease_id()) +
                                     ", which another worker holds"));
  if (const Status status = CheckResult(run, lease->second, result); !status.ok())
    return Expel(id, status);
  Reported(id, worker, result.step());
  Vote(id, run, result.digest());
  if (!workers_.contains(id) || !run.work || !run.work->leases.contains(result.lease_id())) return;
  if (result.digest() != run.work->digest) return ForgetLease(run, result.lease_id());
  if (run.work->leases.at(result.lease_id()).audit)
    OnAuditResult(id, run, result.lease_id(), result);
  else
    AcceptResult(id, run, result.lease_id(), result);
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
    if (!Possible(result.held_out().score(), tokens, core::kScoreUnitsPerBit) ||
        !Possible(result.held_out().coarse_score(), tokens, 16))
      return InvalidArgument("the result for " + what + " has an impossible score");
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
  const uint64_t window = job.window();
  bool possible =
      Possible(scores.score_sum(), 2 * window * lease.range.pairs(), core::kScoreUnitsPerBit);
  for (const int32_t score : scores.scores())
    possible = possible && Possible(score, window, core::kScoreUnitsPerBit);
  if (!possible) return InvalidArgument("the result for " + what + " has an impossible score");
  return {};
}

// A second result for a range that is done: it must have the same bytes. Held-out sums do not say
// of which streams they are; without their lease they cannot be compared.
void Core::CompareLate(const std::string& id, Run& run, const v1::Result& result) {
  if (!result.has_scores() || run.pending || result.digest() != run.work->digest) return;
  const uint32_t begin = result.scores().begin();
  const auto part = run.work->parts.find({false, begin});
  if (part == run.work->parts.end() || part->second.end != result.scores().end()) return;
  Part other = PartOf(result.scores(), run.record.spec.fitness);
  if (other == part->second || run.work->authors.at({false, begin}) == id) return;
  DisputeShard(run, {false, {begin, part->second.end}}, id, std::move(other));
}

void Core::AcceptResult(const std::string& id, Run& run, uint64_t lease_id,
                        const v1::Result& result) {
  Worker& worker = workers_.at(id);
  StepWork& work = *run.work;
  const LeaseState lease = work.leases.at(lease_id);
  ++tally_.shards_completed;
  run.marks.last_score = now_;
  work.Accept({lease.held_out, lease.range.begin}, PartOf(lease, result, run.record.spec.fitness),
              id);
  if (!lease.held_out) worker.pairs_done += lease.range.pairs();
  const double ms = std::isfinite(result.seconds()) ? result.seconds() * 1000 : 0;
  const double speed = lease.range.pairs() / std::clamp(ms, 0.01, 3.6e6);
  double& known = lease.held_out ? worker.streams_per_ms : worker.pairs_per_ms;
  known = known == 0 ? speed : (known + speed) / 2;
  worker.patience = 1;
  worker.failures = 0;
  worker.complaints = 0;
  for (const uint64_t other : work.LeasesOn(lease.held_out, lease.range)) {
    const LeaseState& loser = work.leases.at(other);
    if (other != lease_id && now_ > loser.late) Doubt(loser.worker);
    if (other != lease_id) Revoke(loser.worker, other);
    ForgetLease(run, other);
  }
  ConsiderAudit(run, lease_id, {lease.held_out, lease.range}, id);
}

// ---- Leaving -----------------------------------------------------------------------------------

void Core::DropWorker(const std::string& id, const std::string& why) {
  Worker& worker = workers_.at(id);
  ReturnLeases(id, worker);
  const auto run = runs_.find(worker.job);
  if (run != runs_.end() && run->second.work) run->second.work->votes.Withdraw(id);
  Log(worker.job, id, run != runs_.end() ? run->second.record.step : 0, "worker_left", why);
  // One that never got beyond its Hello is worth no record: anyone can open streams.
  if (worker.phase != Phase::kConnected) actions_.push_back(WorkerChanged{StateOf(id, worker)});
  workers_.erase(id);
  idle_.erase(id);
  hungry_.erase(id);
  strength_.reset();
}

void Core::Expel(const std::string& id, Status status) {
  DropWorker(id, "its session was closed: " + status.message());
  actions_.push_back(CloseWorker{id, std::move(status)});
}

}  // namespace hatchery::coordinator

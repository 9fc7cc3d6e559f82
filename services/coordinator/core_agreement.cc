// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Which replica is right: votes, the referee, and what happens to those who are wrong.
#include <algorithm>
#include <utility>

#include "services/coordinator/core.h"
#include "services/coordinator/core_internal.h"

namespace hatchery::coordinator {
namespace {

constexpr int64_t kShortestWait = 2'000;  // milliseconds, for votes

}  // namespace

void Core::Vote(const std::string& id, Run& run, const std::string& digest) {
  if (!run.work) return;
  const std::string step = std::to_string(run.record.step);
  if (run.record.step == 0 && digest != run.record.initial_digest)
    return Quarantine(id, run,
                      "its replica of step 0 has digest " + Hex(digest) + ", the job's is " +
                          Hex(run.record.initial_digest));
  const std::string* before = run.work->votes.Of(id);
  if (before != nullptr && *before != digest)
    return Quarantine(id, run,
                      "the digest of its replica changed within step " + step + ", from " +
                          Hex(*before) + " to " + Hex(digest));
  if (before == nullptr) {
    if (run.work->votes.empty()) run.marks.first_vote = now_;
    run.work->waiting_since = -1;
    run.work->votes.Cast(id, workers_.at(id).hello.name(), digest);
  }
  workers_.at(id).lagging = false;
  if (run.work->digest.empty()) run.work->digest = digest;
  if (digest == run.work->digest) return;
  ++run.digests_disputed;
  ++tally_.digests_disputed;
  Log(run.record.id, id, run.record.step, "digest_disputed",
      "digest " + Hex(digest) + " at step " + step + " differs from " + Hex(run.work->digest));
}

void Core::CheckSettled(const std::string& id, Run& run, uint32_t step, const std::string& digest) {
  const auto settled = run.digests.find(step);
  if (settled == run.digests.end() || settled->second.digest == digest) return;
  for (const Accusation& accusation : run.accusations)
    if (accusation.worker == id) return;  // one at a time
  ++run.digests_disputed;
  ++tally_.digests_disputed;
  Log(run.record.id, id, step, "digest_disputed",
      "digest " + Hex(digest) + " at step " + std::to_string(step) +
          " differs from the journal's " + Hex(settled->second.digest));
  // Somebody alone may have been wrong; two cannot be in the same way by accident.
  if (settled->second.witnesses >= 2)
    return Quarantine(id, run,
                      "its replica of step " + std::to_string(step) + " has digest " + Hex(digest) +
                          ", the others agreed on " + Hex(settled->second.digest));
  run.accusations.push_back({id, step, digest});
  Consult(run, step, std::nullopt);
}

void Core::Settle(Run& run) {
  if (!run.work || run.pending) return;
  if (run.work->disputed()) return SettleDispute(run);
  if (!run.work->complete() || run.work->votes.empty()) {
    run.work->waiting_since = -1;
    return;
  }
  if (run.work->votes.voices() >= 2 || !AwaitsVotes(run)) FinishStep(run);
}

void Core::SettleDispute(Run& run) {
  if (const std::string* winner = run.work->votes.Majority())
    return Uphold(run, std::string(*winner), "most workers have");
  if (!AwaitsVotes(run)) Consult(run, run.record.step, std::nullopt);
}

bool Core::AwaitsVotes(Run& run) {
  StepWork& work = *run.work;
  std::vector<std::string> missing;
  for (const auto& [id, worker] : workers_)
    if (Works(worker, run) && !worker.lagging && work.votes.Of(id) == nullptr)
      missing.push_back(id);
  if (missing.empty()) return false;
  if (work.waiting_since < 0) work.waiting_since = now_;
  const int64_t taken = work.waiting_since - run.step_started;
  const int64_t patience = std::max(kShortestWait, 2 * taken);
  if (now_ - work.waiting_since < patience) return true;
  for (const std::string& id : missing) {
    workers_.at(id).lagging = true;
    Log(run.record.id, id, run.record.step, "worker_lags",
        "it did not report the digest of step " + std::to_string(run.record.step) + " within " +
            std::to_string(patience) +
            " ms of the others; nobody waits for it until it catches up");
  }
  return false;
}

void Core::Uphold(Run& run, const std::string& digest, const std::string& by) {
  std::map<std::string, std::string> losers;
  for (const auto& [voter, vote] : run.work->votes.all())
    if (vote.digest != digest) losers[voter] = vote.digest;
  if (run.work->digest != digest) {  // and with it everything accepted so far
    for (auto& [id, worker] : workers_) {
      if (worker.job != run.record.id) continue;
      for (const uint64_t lease : std::exchange(worker.leases, {})) Revoke(id, lease);
    }
    auto votes = std::move(run.work->votes);
    StartStep(run);
    run.work->digest = digest;
    run.work->votes = std::move(votes);
  }
  for (const auto& [loser, vote] : losers) {
    run.work->votes.Withdraw(loser);
    if (workers_.contains(loser))
      Quarantine(loser, run,
                 "its replica of step " + std::to_string(run.record.step) + " has digest " +
                     Hex(vote) + ", " + by + " " + Hex(digest));
  }
}

void Core::Quarantine(const std::string& id, Run& run, const std::string& why) {
  const auto at = workers_.find(id);
  if (at == workers_.end()) return;
  Worker& worker = at->second;
  const std::string& name = worker.hello.name();
  // Names are the workers' own: they may not fill our memory.
  if (strikes_.size() >= kNamesKept && !strikes_.contains(name)) strikes_.erase(strikes_.begin());
  const uint32_t strikes = ++strikes_[name];
  actions_.push_back(Struck{name, strikes});
  if (strikes > kStrikesAllowed) {
    Log(run.record.id, id, run.record.step, "expelled", why + "; it was wrong before");
    return Expel(id, FailedPrecondition("sent away after a second wrong answer: " + why +
                                        "; check this machine's memory and build, and start the "
                                        "worker under another --name"));
  }
  Log(run.record.id, id, run.record.step, "quarantined",
      why + "; it loads the job anew from checkpoint and journal");
  if (worker.job == run.record.id) Assign(id, worker, run, true);
}

// ---- The referee -------------------------------------------------------------------------------

void Core::Consult(Run& run, uint32_t step, std::optional<Range> range) {
  for (const AskReferee& inquiry : run.inquiries)
    if (inquiry.step == step && inquiry.range == range) return;
  const std::string what = range ? Name(*range) + " of step " + std::to_string(step)
                                 : "the replica of step " + std::to_string(step);
  if (!options_.referee) {
    if (run.runnable())
      PauseRun(run, "workers disagree on " + what +
                        " and this coordinator has no referee; remove the wrong worker (see the "
                        "job's events) and resume, or start the coordinator without --referee off");
    return;
  }
  Log(run.record.id, "", step, "referee_asked", "a replay of the journal decides on " + what);
  run.inquiries.push_back({run.record.id, step, range});
  actions_.push_back(run.inquiries.back());
}

Core::Actions Core::RefereeSaid(int64_t now, const std::string& job, uint32_t step,
                                const std::optional<Range>& range,
                                const StatusOr<Finding>& finding) {
  now_ = now;
  const auto at = runs_.find(job);
  if (at == runs_.end()) return Take();
  Run& run = at->second;
  std::erase_if(run.inquiries, [&](const AskReferee& inquiry) {
    return inquiry.step == step && inquiry.range == range;
  });
  if (!finding.ok()) {
    if (!range) Answered(run, step);
    Log(job, "", step, "referee_failed", finding.status().message());
    if (run.runnable()) PauseRun(run, "the referee: " + finding.status().message());
  } else if (range) {
    JudgeShard(run, step, *range, *finding);
  } else {
    JudgeDigest(run, step, *finding);
  }
  return Take();
}

std::vector<Core::Accusation> Core::Answered(Run& run, uint32_t step) {
  std::vector<Accusation> answered;
  for (const Accusation& accusation : std::exchange(run.accusations, {}))
    (accusation.step == step ? answered : run.accusations).push_back(accusation);
  return answered;
}

void Core::JudgeDigest(Run& run, uint32_t step, const Finding& finding) {
  Log(run.record.id, "", step, "referee_said",
      "the journal gives digest " + Hex(finding.digest) + " at step " + std::to_string(step));
  const auto settled = run.digests.find(step);
  if (settled != run.digests.end() && settled->second.digest != finding.digest) {
    Answered(run, step);
    if (run.runnable())
      PauseRun(run, "the journal says that step " + std::to_string(step) + " has digest " +
                        Hex(settled->second.digest) + ", but its commits give " +
                        Hex(finding.digest) +
                        ": a worker was wrong while it was alone; stop the coordinator and cut the "
                        "journal back to its last provable commit with `hatchery fsck --deep "
                        "--repair`");
    return;
  }
  if (run.ask && run.ask->step == step) run.ask->replayed = finding.checkpoint_sha256;
  if (run.work && run.record.step == step && run.work->disputed())
    Uphold(run, finding.digest, "a replay of the journal gives");
  for (const Accusation& accusation : Answered(run, step))
    if (accusation.digest != finding.digest)
      Quarantine(accusation.worker, run,
                 "its replica of step " + std::to_string(step) + " has digest " +
                     Hex(accusation.digest) + ", a replay of the journal gives " +
                     Hex(finding.digest));
}

}  // namespace hatchery::coordinator

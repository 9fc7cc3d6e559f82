// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Second opinions on scores. A digest proves that a worker holds the right weights, not that its
// scores are theirs; docs/reliability.md has the chances of a liar.
#include <algorithm>
#include <utility>

#include "kernels/core/philox.h"
#include "services/common/job.h"
#include "services/coordinator/core.h"
#include "services/coordinator/core_internal.h"

namespace hatchery::coordinator {
namespace {

constexpr uint32_t kAttempts = 3;
constexpr int64_t kMostPatience = 4;  // a worker that misses its deadlines is not waited for

}  // namespace

void Core::ConsiderAudit(Run& run, uint64_t lease_id, const Range& range,
                         const std::string& author) {
  if (range.held_out && !HasHeldOut(run.record.job)) return;  // it was for the digest alone
  const auto draw = core::Philox(
      {static_cast<uint32_t>(lease_id), static_cast<uint32_t>(lease_id >> 32), run.record.step, 0},
      options_.audit_seed);
  if (draw.w0 >= options_.audit_share * 0x1p32) return;
  const std::string& name = workers_.at(author).hello.name();
  const bool alone = std::none_of(workers_.begin(), workers_.end(), [&](const auto& entry) {
    return MayAudit(entry.second, name, run);
  });
  if (alone) return;
  Audit& audit = run.work->audits[{range.held_out, range.shard.begin}];
  audit.range = range;
  audit.author = author;
  audit.name = name;
}

bool Core::FitToAudit(const Worker& worker, const Run& run) const {
  return Abreast(worker, run) && worker.patience <= kMostPatience;
}

// By the name: the author may have come back on another stream, perhaps before the old one's end is
// known, and would agree with itself.
bool Core::MayAudit(const Worker& worker, const std::string& name, const Run& run) const {
  return worker.hello.name() != name && FitToAudit(worker, run);
}

void Core::LendAudits(Run& run) {
  if (hungry_.empty()) return;
  for (auto& [place, audit] : run.work->audits) {
    if (audit.state != Audit::State::kWanted) continue;
    ForHungry(run, [&, &wanted = audit](const std::string& id, Worker& worker) {
      if (!MayAudit(worker, wanted.name, run)) return true;
      wanted.state = Audit::State::kLent;
      SendLease(id, worker, run, wanted.range.held_out, wanted.range.shard, Purpose::kAudit);
      return false;
    });
  }
}

void Core::RecallAudits(Run& run) {
  std::vector<uint64_t> late;
  for (const auto& [lease_id, lease] : run.work->leases)
    if (lease.audit && now_ > lease.late) late.push_back(lease_id);
  for (const uint64_t lease_id : late) {
    const LeaseState lease = run.work->leases.at(lease_id);
    const auto at = run.work->audits.find({lease.held_out, lease.range.begin});
    if (at == run.work->audits.end() || at->second.state != Audit::State::kLent) continue;
    Audit& audit = at->second;
    bool another = false;
    ForHungry(run, [&](const std::string& id, Worker& worker) {
      another = id != lease.worker && worker.leases.empty() && !worker.doubtful &&
                MayAudit(worker, audit.name, run);
      return !another;
    });
    if (!another) return;
    Doubt(lease.worker);
    Revoke(lease.worker, lease_id);
    ForgetLease(run, lease_id);
    --audit.attempts;  // it may still come to something
  }
}

// Nobody but the author is there to give a second opinion, or those who are do not. While nobody is
// there at all, as after a coordinator's stall, the audits wait: so does the step.
void Core::DropHopelessAudits(Run& run) {
  const bool deserted = std::none_of(workers_.begin(), workers_.end(),
                                     [&](const auto& entry) { return Abreast(entry.second, run); });
  if (deserted) return;
  std::erase_if(run.work->audits, [&](const auto& entry) {
    const Audit& audit = entry.second;
    if (audit.state != Audit::State::kWanted) return false;
    if (audit.attempts >= kAttempts) {
      Log(run.record.id, audit.author, run.record.step, "audit_skipped",
          "nobody gave a second opinion on " + Name(audit.range));
      return true;
    }
    for (const auto& [id, worker] : workers_)
      if (MayAudit(worker, audit.name, run)) return false;
    Log(run.record.id, audit.author, run.record.step, "audit_skipped",
        "nobody is there to give a second opinion on " + Name(audit.range));
    return true;
  });
}

void Core::OnAuditResult(const std::string& id, Run& run, uint64_t lease_id,
                         const v1::Result& result) {
  StepWork& work = *run.work;
  const LeaseState& lease = work.leases.at(lease_id);
  const Range range{lease.held_out, lease.range};
  const StepWork::Place place{lease.held_out, lease.range.begin};
  const auto audit = work.audits.find(place);
  const bool open = audit != work.audits.end() && audit->second.state == Audit::State::kLent;
  Part part = PartOf(lease, result, run.record.spec.fitness);
  const bool same = open && part == work.parts.at(place);
  if (same) {
    work.audits.erase(audit);
    ++run.shards_audited;
    ++tally_.shards_audited;
  } else if (open) {
    DisputeShard(run, range, id, std::move(part));
  }
  if (run.work) ForgetLease(run, lease_id);
}

void Core::DisputeShard(Run& run, const Range& range, const std::string& other, Part part) {
  const StepWork::Place place{range.held_out, range.shard.begin};
  Audit& audit = run.work->audits[place];
  if (audit.state == Audit::State::kWithReferee) return;
  audit.state = Audit::State::kWithReferee;
  audit.range = range;
  audit.author = run.work->authors.at(place);
  audit.auditor = other;
  audit.other = std::move(part);
  ++run.shards_disputed;
  ++tally_.shards_disputed;
  Log(run.record.id, other, run.record.step, "shard_disputed",
      "its result for " + Name(range) + " differs from that of " + audit.author);
  Consult(run, run.record.step, range);
}

void Core::JudgeShard(Run& run, uint32_t step, const Range& range, const Finding& finding) {
  if (!run.work || step != run.record.step) return;
  const StepWork::Place place{range.held_out, range.shard.begin};
  const auto at = run.work->audits.find(place);
  if (at == run.work->audits.end() || at->second.state != Audit::State::kWithReferee) return;
  const Audit audit = std::move(at->second);
  const bool author_lied = !(run.work->parts.at(place) == finding.part);
  const bool auditor_lied = !(audit.other == finding.part);
  run.work->audits.erase(at);
  ++run.shards_audited;
  ++tally_.shards_audited;
  const std::string why = "its scores for " + Name(range) + " of step " + std::to_string(step) +
                          " are not those that the referee computed";
  const auto convict = [&](const std::string& worker) {
    if (!run.work) return;
    DropWorkOf(run, worker);
    Quarantine(worker, run, why);
  };
  if (author_lied) convict(audit.author);
  if (auditor_lied) convict(audit.auditor);
}

void Core::DropWorkOf(Run& run, const std::string& worker) {
  std::vector<uint64_t> audits;
  for (const auto& [lease_id, lease] : run.work->leases) {
    const auto author = run.work->authors.find({lease.held_out, lease.range.begin});
    if (lease.audit && author != run.work->authors.end() && author->second == worker)
      audits.push_back(lease_id);
  }
  for (const uint64_t lease_id : audits) {
    Revoke(run.work->leases.at(lease_id).worker, lease_id);
    ForgetLease(run, lease_id);
  }
  run.work->DropPartsOf(worker);
}

}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Checkpoints: who uploads one, who vouches for it, and whether it is believed.
#include <utility>

#include "services/common/sha256.h"
#include "services/coordinator/core.h"
#include "services/coordinator/core_internal.h"

namespace hatchery::coordinator {
namespace {

// Milliseconds.
constexpr int64_t kUploadPatience = 120'000, kWitnessPatience = 20'000, kRetryPause = 5'000;

// Uploads are calls of their own: the ticket ties one to the worker that was asked, so that no
// other can put a file of its own in that one's place.
std::string TicketOf(const std::string& secret, const std::string& job, size_t ask) {
  const Sha256Hash hash = Sha256Of(secret + "/" + job + "/" + std::to_string(ask));
  return {hash.begin(), hash.begin() + 16};
}

}  // namespace

// Asks workers that are at the present step; their streams are ordered, so each copies its replica
// before it hears of the next commit.
void Core::AskCheckpoint(Run& run) {
  if (!run.checkpoint_due || run.ask) return;
  CheckpointAsk ask;
  ask.step = run.record.step;
  ask.deadline = now_ + kUploadPatience;
  std::vector<std::string> candidates;
  for (const auto& [id, worker] : workers_) {
    if (!Works(worker, run) || worker.rests_until > now_) continue;
    if (run.work) {  // not one whose replica nobody else believes
      const std::string* vote = run.work->votes.Of(id);
      if (vote != nullptr && *vote != run.work->digest) continue;
    }
    candidates.push_back(id);
  }
  if (candidates.empty()) return;
  // In turn, so that one whose uploads are refused does not hold up the rest.
  ask.ticket = TicketOf(options_.ticket_secret, run.record.id, run.asks);
  const size_t first = run.asks++ % candidates.size();
  ask.worker = candidates[first];
  for (size_t i = 1; i < candidates.size() && ask.witness.empty(); ++i) {
    const std::string& other = candidates[(first + i) % candidates.size()];
    if (!workers_.at(other).lagging) ask.witness = other;
  }
  SendCheckpointRequest(run, ask.worker, ask.ticket);
  if (!ask.witness.empty()) SendCheckpointRequest(run, ask.witness, "");
  run.ask = std::move(ask);
}

void Core::SendCheckpointRequest(const Run& run, const std::string& worker,
                                 const std::string& ticket) {
  v1::CoordinatorMessage message;
  v1::CheckpointRequest& request = *message.mutable_checkpoint_request();
  request.set_job_id(run.record.id);
  request.set_step(run.record.step);
  request.set_hash_only(ticket.empty());
  request.set_ticket(ticket);
  Say(worker, std::move(message));
}

void Core::OnCheckpointHash(const std::string& id, const v1::CheckpointHash& hash) {
  if (hash.sha256().size() != 32)
    return Expel(
        id, InvalidArgument("a SHA-256 has 32 bytes, not " + std::to_string(hash.sha256().size())));
  const auto at = runs_.find(hash.job_id());
  if (at == runs_.end()) return;
  auto& ask = at->second.ask;
  if (ask && ask->witness == id && ask->step == hash.step()) ask->witnessed = hash.sha256();
}

// The worker does something else now.
void Core::ForgetAsk(Run& run, const std::string& worker) {
  if (!run.ask) return;
  if (run.ask->worker == worker && run.ask->offered.empty()) return run.ask.reset();
  if (run.ask->witness == worker && run.ask->witnessed.empty()) run.ask->witness.clear();
}

bool Core::CheckpointWanted(const std::string& job, uint32_t step,
                            const std::string& ticket) const {
  const auto at = runs_.find(job);
  if (at == runs_.end() || !at->second.ask) return false;
  const CheckpointAsk& ask = *at->second.ask;
  return ask.step == step && ask.ticket == ticket && ask.offered.empty();
}

Core::Actions Core::CheckpointOffered(int64_t now, const std::string& job, uint32_t step,
                                      const std::string& ticket, const std::string& digest,
                                      const std::string& sha256) {
  now_ = now;
  if (!CheckpointWanted(job, step, ticket)) return Take();
  CheckpointAsk& ask = *runs_.at(job).ask;
  ask.offered = sha256;
  ask.digest = digest;
  ask.deadline = now_ + kWitnessPatience;
  return Take();
}

void Core::JudgeOffer(Run& run) {
  if (!run.ask || run.ask->offered.empty() || run.ask->belief != Belief::kOpen) return;
  CheckpointAsk& ask = *run.ask;
  // The digest of a step is settled by its results, which may still be on their way.
  const auto settled = run.digests.find(ask.step);
  if (settled == run.digests.end()) return;
  const auto judge = [&](bool right) {
    ask.belief = right ? Belief::kBelieved : Belief::kRefuted;
    Changed(run);
  };
  if (ask.digest != settled->second.digest) return judge(false);
  if (!ask.replayed.empty()) return judge(ask.offered == ask.replayed);
  if (!ask.witness.empty() && ask.witnessed.empty()) {
    if (now_ <= ask.deadline) return;
    ask.witness.clear();
  }
  if (!ask.witness.empty() && ask.witnessed == ask.offered) return judge(true);
  if (ask.witness.empty() && !options_.referee) return judge(true);  // nobody else can tell
  Consult(run, ask.step, std::nullopt);
}

Core::Belief Core::CheckpointBelief(const std::string& job, uint32_t step,
                                    const std::string& sha256) const {
  const auto at = runs_.find(job);
  if (at == runs_.end() || !at->second.ask) return Belief::kNotWanted;
  const CheckpointAsk& ask = *at->second.ask;
  return ask.step == step && ask.offered == sha256 ? ask.belief : Belief::kNotWanted;
}

Core::Actions Core::CheckpointStored(int64_t now, const std::string& job, uint32_t step) {
  now_ = now;
  const auto at = runs_.find(job);
  if (at == runs_.end()) return Take();
  Run& run = at->second;
  if (run.ask && run.ask->step == step) {
    run.ask.reset();
    run.checkpoint_due = false;
  }
  Log(job, "", step, "checkpoint", "checkpoint of step " + std::to_string(step) + " stored");
  if (!run.record.closing_digest.empty() && step == run.record.step) {
    run.record.final_checkpoint = true;
    run.checkpoint_due = false;
    if (run.runnable()) FinishRun(run);
  } else if (!run.record.closing_digest.empty()) {
    run.checkpoint_due = true;
  }
  return Take();
}

Core::Actions Core::CheckpointFailed(int64_t now, const std::string& job, uint32_t step,
                                     const std::string& sha256, const Status& status) {
  now_ = now;
  const auto at = runs_.find(job);
  if (at == runs_.end() || !at->second.ask) return Take();
  CheckpointAsk& ask = *at->second.ask;
  // What nobody waits for any more fails unheard.
  if (ask.step != step || ask.offered != sha256) return Take();
  Log(job, "", step, "checkpoint_failed", status.message());
  // What was thought of this offer must not hold for the next one.
  ask.offered.clear();
  ask.digest.clear();
  ask.belief = Belief::kOpen;
  // Asked again when the time allowed for this one is over, so that a full disk is no busy loop.
  ask.deadline = now_ + kRetryPause;
  return Take();
}

}  // namespace hatchery::coordinator

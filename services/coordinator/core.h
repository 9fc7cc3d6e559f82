// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The coordinator, as a pure state machine: an event and the time go in, actions come out. No
// clock, thread, socket or disk inside; all iteration is over ordered containers, so the same
// events give the same actions. The shell (engine.h) does what the actions say.
//
// One job runs at a time: of the jobs that are neither paused nor over, the one with the highest
// priority, the oldest among equals. All proven workers work on it.
//
// A step is split into leases, handed out on demand, sized to a quarter of each worker's share of
// the step, in whole rounds of its device; a short step of a lone worker is one lease. Work of a
// new step goes along with the commit of the one before, to those who reported on that one; who is
// further behind, or reads nothing, gets some when it has caught up. A lease that expires, fails or
// loses its worker goes back; one that takes twice as long as expected is hedged to an idle worker.
// Who was late is the last to be lent more until it shows that it still reads. Whatever comes in
// twice is compared and ignored.
// A commit is announced only after the shell has said Appended.
//
// Digests: every worker votes for the digest of every step, when it is Ready and with every result.
// A step is committed only when all votes for its digest agree and, unless one worker is alone,
// there are two. Workers that are much slower than the step (lagging) are not waited for. When
// votes differ, a strict majority of two or more stands; without one the referee decides: a replay
// of the journal by the shell. A vote for an older step is compared with the journal's digest.
//
// Scores: a share of the accepted shards (CoreOptions::audit_share), of pairs and of held-out
// streams alike, is evaluated by a second worker and compared; if they differ, the referee
// evaluates the shard too.
//
// Whoever is found wrong is quarantined: its results of the step are dropped and it loads the job
// anew. The second time it is sent away, and its name stays out. The referee failing, or refuting
// the journal, pauses the job.
//
// Checkpoints: one worker uploads, a second says its file's SHA-256; the file is believed if they
// agree or the referee's replay gives the same bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"
#include "kernels/job_spec.h"
#include "kernels/status.h"
#include "services/common/journal.h"
#include "services/coordinator/figures.h"
#include "services/coordinator/step_work.h"

namespace hatchery::coordinator {

// ---- Actions -----------------------------------------------------------------------------------

struct Send {
  std::string worker;
  v1::CoordinatorMessage message;
};
// End the worker's stream. No WorkerDisconnected is expected any more (one does no harm).
struct CloseWorker {
  std::string worker;
  Status status;
};
// Make the record durable, then say Appended; or AppendFailed.
struct Append {
  std::string job;
  std::variant<CommitRecord, ClosingRecord> record;
};
struct LogEvent {
  v1::Event event;  // without its time
};
// Replay the job's journal to `step` and, if there is a range, evaluate it there; then say
// RefereeSaid.
struct AskReferee {
  std::string job;
  uint32_t step = 0;
  std::optional<Range> range;
};
// The job's state changed: store it. `update` is set after a step: show it to watchers.
struct JobChanged {
  std::string job;
  bool stepped = false;
};
// The worker came or went: store what it is, or has contributed.
struct WorkerChanged {
  v1::WorkerState worker;
};
// A worker of this name was found wrong, so often by now: remember it (CoreOptions::strikes).
struct Struck {
  std::string name;
  uint32_t count = 0;
};
using Action = std::variant<Send, CloseWorker, Append, AskReferee, LogEvent, JobChanged,
                            WorkerChanged, Struck>;

// What the referee found.
struct Finding {
  std::string digest;             // of the replica at the step, 16 bytes
  std::string checkpoint_sha256;  // of its checkpoint's file, 32 bytes
  Part part;                      // if a range was asked for
};

// ---- What the shell configures and loads -------------------------------------------------------

struct CoreOptions {
  v1::Job known_answer_task;
  std::string known_answer_data;
  std::string known_answer_digest;  // 16 bytes; empty: workers are not tested
  uint32_t heartbeat_seconds = 5;   // a worker silent for six of them is dropped
  double audit_share = 0;           // of the shards, [0, 1]
  uint32_t audit_seed = 0;          // which ones; must not be known to workers
  std::string ticket_secret;        // tickets of uploads come from it; must not be known either
  bool referee = true;              // the shell can replay
  std::map<std::string, uint32_t> strikes;  // what the shell remembers of Struck
};

// Digests of the newest steps are kept for votes that come late.
inline constexpr size_t kDigestsKept = 4096;

// A job as it is submitted, or found on disk at start-up.
struct JobRecord {
  std::string id;
  v1::Job job;
  JobSpec spec;
  std::string initial_digest;  // 16 bytes
  int64_t submitted_unix_seconds = 0;
  // Found on disk only:
  v1::JobState::State state = v1::JobState::QUEUED;
  std::string reason;
  uint32_t step = 0;                        // commits in the journal
  std::string closing_digest;               // 16 bytes; empty: no closing record
  std::map<uint32_t, std::string> digests;  // by step, of its newest commits: 16 bytes each
  bool final_checkpoint = false;
  bool damaged = false;  // its journal cannot be used; `reason` says why
  v1::JobUpdate latest;
};

// What the workers of the job that runs can do together. Looked at ten times a second, and when one
// comes or goes.
struct Strength {
  uint32_t workers = 0;
  // Of those whose speed is known, the mean; 0: of none.
  double pairs_per_ms = 0, streams_per_ms = 0;
};

// Not thread-safe. `now` is in milliseconds of a clock that does not go back.
class Core {
 public:
  using Actions = std::vector<Action>;
  explicit Core(CoreOptions options);

  // Jobs must come in the order of their age.
  Actions JobSubmitted(int64_t now, JobRecord record);
  Actions JobRecovered(int64_t now, JobRecord record);
  // kNotFound, or kFailedPrecondition if the job's state does not allow it.
  StatusOr<Actions> Pause(int64_t now, const std::string& job);
  StatusOr<Actions> Resume(int64_t now, const std::string& job);
  StatusOr<Actions> Cancel(int64_t now, const std::string& job);

  Actions WorkerConnected(int64_t now, const std::string& worker, int64_t unix_seconds);
  Actions WorkerSaid(int64_t now, const std::string& worker, const v1::WorkerMessage& message);
  Actions WorkerDisconnected(int64_t now, const std::string& worker, const std::string& reason);

  Actions Appended(int64_t now, const std::string& job);
  Actions AppendFailed(int64_t now, const std::string& job, const Status& status);
  Actions RefereeSaid(int64_t now, const std::string& job, uint32_t step,
                      const std::optional<Range>& range, const StatusOr<Finding>& finding);
  // Whether the worker with that ticket was asked for the checkpoint of `step`, and none was
  // offered yet.
  bool CheckpointWanted(const std::string& job, uint32_t step, const std::string& ticket) const;
  // An intact checkpoint of `step`, a file with that SHA-256 (32 bytes), was uploaded. Poll
  // CheckpointBelief until it is no longer kOpen.
  Actions CheckpointOffered(int64_t now, const std::string& job, uint32_t step,
                            const std::string& ticket, const std::string& digest,
                            const std::string& sha256);
  enum class Belief { kOpen, kBelieved, kRefuted, kNotWanted };
  Belief CheckpointBelief(const std::string& job, uint32_t step, const std::string& sha256) const;
  Actions CheckpointStored(int64_t now, const std::string& job, uint32_t step);
  // The file with that SHA-256 cannot be kept, or is not believed.
  Actions CheckpointFailed(int64_t now, const std::string& job, uint32_t step,
                           const std::string& sha256, const Status& status);
  // Due ten times a second or so: leases and workers expire, late work is hedged.
  Actions Tick(int64_t now);

  std::optional<v1::JobState> Job(const std::string& job) const;
  std::vector<v1::JobState> Jobs() const;
  std::optional<v1::JobState::State> JobStateOf(const std::string& job) const;
  std::vector<v1::WorkerState> Workers() const;
  // How things stand, with the states of at most `most` jobs. One pass over workers and jobs.
  Figures Watch(size_t most) const;

 private:
  enum class Phase { kConnected, kProving, kIdle, kLoading, kReady };
  struct Worker {
    Phase phase = Phase::kConnected;
    v1::Hello hello;
    std::string job;    // assigned; kLoading and kReady only
    uint32_t step = 0;  // the newest that it has reported on
    std::vector<uint64_t> leases;
    double pairs_per_ms = 0, streams_per_ms = 0;  // 0: not measured yet
    uint32_t round_pairs = 0;                     // of Ready: anything that a peer may say
    int64_t patience = 1;                         // doubled when a lease expires
    uint32_t failures = 0;                        // in a row
    uint32_t load_failures = 0;                   // of its job
    uint32_t complaints = 0;                      // Failure messages since its last result
    int64_t rests_until = 0;                      // after a failure
    int64_t heard = 0;
    bool lagging = false;  // its votes come too late to wait for
    // It was late with a lease, which went to another, and has not shown since that it reads what
    // it is told: by a result or a newer step.
    bool doubtful = false;
    uint64_t pairs_done = 0;
    int64_t connected_unix_seconds = 0;
  };
  struct CheckpointAsk {
    uint32_t step = 0;
    std::string worker;
    std::string ticket;             // which that worker alone was given
    int64_t deadline = 0;           // for the upload to come, then for the witness
    std::string witness;            // empty: none, the referee is asked
    std::string offered;            // SHA-256 of the uploaded file,
    std::string digest;             // its digest,
    Belief belief = Belief::kOpen;  // and what we think of it
    std::string witnessed;          // SHA-256 that the witness reports
    std::string replayed;           // the referee's
  };
  struct Settled {
    std::string digest;
    size_t witnesses = 0;  // workers that voted for it
  };
  // A worker's vote for a settled step that is not the journal's.
  struct Accusation {
    std::string worker;
    uint32_t step = 0;
    std::string digest;
  };
  // When a step came how far, in milliseconds; -1: it has not.
  struct StepMarks {
    int64_t first_vote = -1, last_score = -1, agreed = -1;
  };
  struct Run {
    JobRecord record;
    uint64_t age = 0;  // smaller: older
    std::optional<StepWork> work;
    std::optional<std::variant<CommitRecord, ClosingRecord>> pending;  // to be durable
    bool appending = false;                                            // the shell is at it
    bool checkpoint_due = false;
    std::optional<CheckpointAsk> ask;
    size_t asks = 0;
    int64_t load_trouble_since = -1;      // that somebody gave up loading it, and nobody was ready
    std::map<uint32_t, Settled> digests;  // settled, of the newest steps
    std::vector<AskReferee> inquiries;    // not yet answered
    std::vector<Accusation> accusations;  // waiting for the referee
    uint64_t shards_audited = 0, shards_disputed = 0, digests_disputed = 0;
    int64_t step_started = -1;
    StepMarks marks;
    // It is closed, and its last checkpoint stored.
    bool complete() const { return !record.closing_digest.empty() && record.final_checkpoint; }
    bool runnable() const {
      return record.state == v1::JobState::QUEUED || record.state == v1::JobState::RUNNING;
    }
  };

  // core_figures.cc
  void CountStep(const Run& run, const CommitRecord& record);
  static const char* StateName(const Worker& worker);

  // core_jobs.cc: which job runs, and its way from step to step.
  void AddRun(JobRecord record);
  void SetState(Run& run, v1::JobState::State state);
  void Drive();
  Run* Chosen();
  void Assign(const std::string& id, Worker& worker, Run& run, bool reload);
  void ReleaseWorkers(Run& run, const std::string& reason);
  void PauseRun(Run& run, const std::string& reason);
  void StartStep(Run& run);
  void FinishStep(Run& run);
  void EmitAppend(Run& run);
  void Announce(Run& run, const CommitRecord& record);
  void UpdateProgress(Run& run, const CommitRecord& record);
  void FinishRun(Run& run);
  StatusOr<Run*> Find(const std::string& job);

  // core_checkpoints.cc
  void AskCheckpoint(Run& run);
  // Without a ticket only the file's hash is asked for.
  void SendCheckpointRequest(const Run& run, const std::string& worker, const std::string& ticket);
  void OnCheckpointHash(const std::string& id, const v1::CheckpointHash& hash);
  // Decides on the offered file as soon as that can be done.
  void JudgeOffer(Run& run);
  void ForgetAsk(Run& run, const std::string& worker);

  // core_workers.cc: what workers say.
  void OnHello(const std::string& id, Worker& worker, const v1::Hello& hello);
  void OnKnownAnswer(const std::string& id, Worker& worker, const v1::KnownAnswer& answer);
  void OnHeartbeat(const std::string& id, Worker& worker, const v1::Heartbeat& heartbeat);
  // The worker's replica is at the step, or was.
  void Reported(const std::string& id, Worker& worker, uint32_t step);
  void OnReady(const std::string& id, Worker& worker, const v1::Ready& ready);
  void OnResult(const std::string& id, Worker& worker, const v1::Result& result);
  void OnFailure(const std::string& id, Worker& worker, const v1::Failure& failure);
  void OnLoadFailure(Worker& worker, Run& run, const v1::Failure& failure);
  // OK if the result is what the lease asked for.
  Status CheckResult(const Run& run, const LeaseState& lease, const v1::Result& result) const;
  void CompareLate(const std::string& id, Run& run, const v1::Result& result);
  void AcceptResult(const std::string& id, Run& run, uint64_t lease_id, const v1::Result& result);
  void DropWorker(const std::string& id, const std::string& why);
  void Expel(const std::string& id, Status status);

  // core_leases.cc
  const Strength& StrengthOf(const Run& run);
  void Lend(Run& run);
  // Calls `visit` with the workers that can take more work now, the doubtful ones last, in the
  // order of their ids, until it says false.
  void ForHungry(const Run& run, const std::function<bool(const std::string&, Worker&)>& visit);
  bool Hungry(const Worker& worker, const Run& run) const;
  // Works, and has reported on this step or the one before.
  bool Abreast(const Worker& worker, const Run& run) const;
  void Hedge(Run& run);
  uint32_t LeaseSize(const Worker& worker, const Run& run, bool held_out);
  enum class Purpose { kWork, kHedge, kAudit };
  void SendLease(const std::string& id, Worker& worker, Run& run, bool held_out, Shard range,
                 Purpose purpose);
  void ReturnLeases(const std::string& id, Worker& worker);
  // Takes a lease off its worker's list and off the step's books.
  void ForgetLease(Run& run, uint64_t lease_id);
  void ExpireLease(Run& run, uint64_t lease_id);
  void Revoke(const std::string& worker, uint64_t lease_id);
  void Doubt(const std::string& worker);

  // core_agreement.cc: which replica is right.
  // Counts a worker's report of the present step's digest; may send the worker away.
  void Vote(const std::string& id, Run& run, const std::string& digest);
  // The same for a step that is settled.
  void CheckSettled(const std::string& id, Run& run, uint32_t step, const std::string& digest);
  // Finishes the step if it is complete and agreed on; settles disputes.
  void Settle(Run& run);
  void SettleDispute(Run& run);
  // Whether a vote of a worker that is not lagging is still missing. Past the time allowed the
  // missing ones are lagging.
  bool AwaitsVotes(Run& run);
  // The digest stands: whoever voted otherwise is quarantined.
  void Uphold(Run& run, const std::string& digest, const std::string& by);
  void Consult(Run& run, uint32_t step, std::optional<Range> range);
  void JudgeDigest(Run& run, uint32_t step, const Finding& finding);
  // Takes off the list what the referee has spoken on, or could not: it may be said again.
  std::vector<Accusation> Answered(Run& run, uint32_t step);
  void Quarantine(const std::string& id, Run& run, const std::string& why);

  // core_audit.cc: second opinions on scores.
  void ConsiderAudit(Run& run, uint64_t lease_id, const Range& range, const std::string& author);
  bool FitToAudit(const Worker& worker, const Run& run) const;
  // What a worker of that name gave.
  bool MayAudit(const Worker& worker, const std::string& name, const Run& run) const;
  void LendAudits(Run& run);
  // Takes audits back from those who are late, if others are free for them.
  void RecallAudits(Run& run);
  void DropHopelessAudits(Run& run);
  void OnAuditResult(const std::string& id, Run& run, uint64_t lease_id, const v1::Result& result);
  void DisputeShard(Run& run, const Range& range, const std::string& other, Part part);
  void JudgeShard(Run& run, uint32_t step, const Range& range, const Finding& finding);
  void DropWorkOf(Run& run, const std::string& worker);

  // Ready for this job, whatever else it does.
  bool Works(const Worker& worker, const Run& run) const {
    return worker.phase == Phase::kReady && worker.job == run.record.id;
  }
  void Say(const std::string& worker, v1::CoordinatorMessage message);
  void Log(const std::string& job, const std::string& worker, uint32_t step, std::string kind,
           std::string message);
  void Changed(const Run& run, bool stepped = false);
  v1::JobState StateOf(const Run& run) const;
  v1::WorkerState StateOf(const std::string& id, const Worker& worker) const;
  Actions Take();

  const CoreOptions options_;
  int64_t now_ = 0, last_tick_ = -1;
  Actions actions_;
  Tally tally_;
  std::map<std::string, Run> runs_;
  std::set<std::string> runnable_;  // of them; the others may be very many
  std::map<std::string, Worker> workers_;
  // Among a thousand workers those few are found at once that a message can make a difference to.
  std::set<std::string> idle_;        // kIdle
  std::set<std::string> hungry_;      // may be Hungry; all who are, are here
  std::optional<Strength> strength_;  // none: to be looked at anew
  static constexpr uint32_t kStrikesAllowed = 1;
  static constexpr size_t kNamesKept = 10'000;
  std::map<std::string, uint32_t> strikes_;  // wrong answers, by the worker's name
  uint64_t next_age_ = 0;
  uint64_t next_lease_ = 1;
};

}  // namespace hatchery::coordinator

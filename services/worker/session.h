// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a worker decides, as a pure state machine: events in, actions out. No clock, thread, socket,
// disk or replica inside, so that a simulator can drive it; the shell (shell.h) does what it says.
//
// Work is done one piece at a time in the order of the coordinator's stream. Exactly one
// Completed answers each Start; nothing else is started before it. After a lost connection the
// replica is kept, its leases are dropped, and the same job is taken up again by fetching only the
// commits that were missed.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"
#include "kernels/status.h"
#include "services/common/log_line.h"
#include "services/worker/backoff.h"

namespace hatchery::worker {

// Work for the shell. All but Apply and Close stop early (kCancelled) when a CancelWork comes.

// Train `task` from nothing on `data` and report the digest.
struct Prove {
  v1::Job task;
  std::string data;
};
// Get the job's data and its newest checkpoint, checked.
struct Load {
  std::string job_id;
  v1::Job job;
};
// Fetch and apply the durable commits from the replica's step on, each checked against the
// replica's digest: kDataLoss if they differ.
struct CatchUp {
  std::string job_id;
};
// Evaluate pairs or held-out streams.
struct Evaluate {
  v1::Lease lease;
};
struct Apply {
  v1::Commit commit;
};
// Copy the replica and upload it while later work goes on; or only hash the file that it would be.
struct Upload {
  std::string job_id;
  uint32_t step;
  bool hash_only = false;
  std::string ticket;  // of the request
};
// Drop the replica and its data.
struct Close {};
using Work = std::variant<Prove, Load, CatchUp, Evaluate, Apply, Upload, Close>;

// Actions.

struct Connect {};
struct Send {
  v1::WorkerMessage message;
};
struct Start {
  Work work;
};
// Stop the work in progress soon; its Completed still comes.
struct CancelWork {};
// The worker ends; nothing follows. `code` is the exit status of the process.
struct Exit {
  int code;
};
using Action = std::variant<Connect, Send, Start, CancelWork, LogLine, Exit>;

// Events.

// A stream was opened; it may still fail.
struct Connected {};
struct Disconnected {
  Status reason;  // OK: the coordinator ended the stream
};
struct Received {
  v1::CoordinatorMessage message;
};
// What Start's work came to. `step` and `digest` (16 bytes) describe the replica after Load, Apply
// and Evaluate, and after CatchUp even if it failed; Prove reports its digest too. `round_pairs` is
// the replica's RoundPairs, after Load.
struct Completed {
  Status status = {};
  uint32_t step = 0;
  std::string digest = {};
  v1::Result result = {};   // after Evaluate: value and seconds
  std::string sha256 = {};  // after Upload with hash_only: 32 bytes
  uint32_t round_pairs = 0;
};
struct Tick {};
struct StopRequested {
  std::string reason;
};
using Event = std::variant<Connected, Disconnected, Received, Completed, Tick, StopRequested>;

struct SessionOptions {
  v1::Hello hello;
  std::string coordinator;     // address, for messages
  uint32_t retry_seconds = 0;  // give up after so long without a coordinator; 0: never
};

// Not thread-safe. Times are milliseconds of any clock that does not go back.
class WorkerSession {
 public:
  explicit WorkerSession(SessionOptions options);

  // The first event is a Tick. After an Exit, all events are ignored.
  std::vector<Action> Handle(int64_t now, const Event& event);

  // When the next Tick is due, if no other event comes first. Early or extra Ticks do no harm.
  std::optional<int64_t> NextTick() const;
  // Whether a Hello was sent on the present stream, so that a Goodbye makes sense.
  bool Greeted() const { return link_ == Link::kGreeting || link_ == Link::kOpen; }

 private:
  enum class Link { kDown, kConnecting, kGreeting, kOpen };
  struct Replica {
    std::string job_id;
    std::string job_bytes;  // the serialized job, to know it again
    uint32_t step = 0;
    std::string digest;
    uint32_t round_pairs = 0;
  };
  struct Running {
    Work work;
    bool abandoned = false;  // nobody wants its outcome any more
    int64_t until = 0;       // when nobody will; 0: never
  };
  using Queued = std::variant<v1::Lease, v1::Commit, v1::CheckpointRequest>;

  void On(const Connected&);
  void On(const Disconnected&);
  void On(const Received&);
  void On(const Completed&);
  void On(const Tick&);
  void On(const StopRequested&);

  void Take(const v1::Welcome&);
  void Take(const v1::Assign&);
  void Take(const v1::Lease&);
  void Take(const v1::Commit&);
  void Take(const v1::CheckpointRequest&);
  void Take(const v1::Release&);
  void Take(const v1::Revoke&);

  void Finish(const Prove&, const Completed&);
  void Finish(const Load&, const Completed&);
  void Finish(const CatchUp&, const Completed&);
  void Finish(const Evaluate&, const Completed&);
  void Finish(const Apply&, const Completed&);
  void Finish(const Upload&, const Completed&);
  void Finish(const Close&, const Completed&);

  // Starts the next piece of work, if there is any and nothing is running.
  void StartNext();
  bool StartLoading();
  // Deals with the front of the queue; false if it must wait.
  bool StartQueued();
  bool Begin(const v1::Lease&);
  bool Begin(const v1::Commit&);
  bool Begin(const v1::CheckpointRequest&);

  void Run(Work work);
  void Abandon();
  // Forgets queued leases for which `drop` holds, and abandons the running one if it does.
  template <typename Predicate>
  void DropLeases(Predicate drop);
  std::string WhyDown(const Status& reason, bool had) const;
  // The replica cannot be trusted: the next StartNext loads it anew.
  void Distrust(const std::string& why);
  void RetryLoading(const Status& status);
  void SayReady();
  void SendHeartbeatIfDue();
  void AbandonIfOverdue();
  // `digest`: what our replica has, if that is not what it should have.
  void SendFailure(uint64_t lease_id, const std::string& message, const std::string& digest = "");
  void Say(v1::WorkerMessage message);
  void Note(std::string event, std::string message) {
    Write(LogLevel::kInfo, std::move(event), std::move(message));
  }
  // What heals by itself.
  void Warn(std::string event, std::string message) {
    Write(LogLevel::kWarning, std::move(event), std::move(message));
  }
  void Complain(std::string event, std::string message) {
    Write(LogLevel::kError, std::move(event), std::move(message));
  }
  // With the job that the worker is on and the step that its replica is at, or will be.
  void Write(LogLevel level, std::string event, std::string message);
  void End(int code);

  const SessionOptions options_;
  int64_t now_ = 0;
  std::vector<Action> actions_;
  bool ended_ = false;

  Link link_ = Link::kDown;
  std::string worker_id_;  // that the coordinator gave us last
  Backoff reconnect_;
  int64_t down_since_ = -1;  // of the present outage; -1: the link is fine
  int64_t heartbeat_period_ = 0;
  int64_t heartbeat_due_ = 0;

  std::optional<Prove> prove_;  // asked for by Welcome and not yet answered
  std::string proved_task_;     // serialized task and data of the last answer,
  std::string proved_digest_;   // and the answer

  std::optional<v1::Assign> assigned_;  // on this connection
  bool ready_ = false;                  // and said to be Ready
  bool close_ = false;                  // the replica's job was released
  bool catch_up_ = false;               // the stream has run ahead of the replica
  Backoff reload_;
  std::optional<Replica> replica_;  // as it is after the running work, unless that is a Load
  std::optional<Running> running_;
  std::deque<Queued> queue_;
};

}  // namespace hatchery::worker

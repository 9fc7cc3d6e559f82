// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/session.h"

#include <algorithm>
#include <utility>

namespace hatchery::worker {
namespace {

// Milliseconds. A restarted coordinator is found again within a second or so.
constexpr int64_t kReconnectFirst = 200, kReconnectLongest = 3'000;
constexpr int64_t kReloadFirst = 500, kReloadLongest = 30'000;

std::string Hex(const std::string& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    hex += kDigits[static_cast<uint8_t>(c) >> 4];
    hex += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return hex;
}

// Trying again cannot help: the coordinator looked at us and said no.
bool IsRefusal(const Status& status) {
  return status.code() == StatusCode::kFailedPrecondition ||
         status.code() == StatusCode::kInvalidArgument;
}

const v1::Lease* RunningLease(const Work& work) {
  const auto* evaluate = std::get_if<Evaluate>(&work);
  return evaluate ? &evaluate->lease : nullptr;
}

std::string Describe(const v1::Lease& lease) {
  const bool pairs = lease.has_pairs();
  return (pairs ? "pairs [" + std::to_string(lease.pairs().begin()) + ", " +
                      std::to_string(lease.pairs().end())
                : "held-out streams [" + std::to_string(lease.held_out().begin()) + ", " +
                      std::to_string(lease.held_out().end())) +
         ") of step " + std::to_string(lease.step());
}

}  // namespace

WorkerSession::WorkerSession(SessionOptions options)
    : options_(std::move(options)),
      reconnect_(kReconnectFirst, kReconnectLongest),
      reload_(kReloadFirst, kReloadLongest) {}

std::vector<Action> WorkerSession::Handle(int64_t now, const Event& event) {
  if (ended_) return {};
  now_ = now;
  std::visit([this](const auto& e) { On(e); }, event);
  if (!ended_) SendHeartbeatIfDue();
  if (!ended_) AbandonIfOverdue();
  if (!ended_) StartNext();
  return std::exchange(actions_, {});
}

std::optional<int64_t> WorkerSession::NextTick() const {
  if (ended_) return std::nullopt;
  std::optional<int64_t> next;
  const auto at = [&next](int64_t due) { next = next ? std::min(*next, due) : due; };
  if (link_ == Link::kDown) at(reconnect_.due());
  if (link_ == Link::kOpen) at(heartbeat_due_);
  if (running_ && !running_->abandoned && running_->until > 0) at(running_->until);
  const bool loading = assigned_ && (!replica_ || catch_up_ || !ready_);
  if (link_ == Link::kOpen && loading && !running_) at(reload_.due());
  return next;
}

// ---- The connection ----------------------------------------------------------------------------

void WorkerSession::On(const Tick&) {
  if (link_ != Link::kDown || now_ < reconnect_.due()) return;
  if (down_since_ < 0) down_since_ = now_;
  link_ = Link::kConnecting;
  actions_.push_back(Connect{});
}

void WorkerSession::On(const Connected&) {
  if (link_ != Link::kConnecting) return;
  link_ = Link::kGreeting;
  v1::WorkerMessage message;
  *message.mutable_hello() = options_.hello;
  Say(std::move(message));
}

void WorkerSession::On(const Disconnected& event) {
  const bool had = link_ == Link::kOpen;
  const bool first = had || reconnect_.due() == 0;
  link_ = Link::kDown;
  prove_.reset();
  assigned_.reset();
  ready_ = false;
  catch_up_ = false;
  queue_.clear();
  // A commit that is being applied is durable and stays; everything else was for the coordinator.
  if (running_ && !std::holds_alternative<Apply>(running_->work)) Abandon();
  if (IsRefusal(event.reason)) {
    Complain("refused", "the coordinator at " + options_.coordinator +
                            " refused this worker: " + event.reason.message());
    return End(1);
  }
  if (down_since_ < 0) down_since_ = now_;
  reconnect_.Failed(now_);
  const int64_t limit = int64_t{options_.retry_seconds} * 1000;
  if (limit > 0 && now_ - down_since_ >= limit) {
    Complain("gave_up", "gave up after " + std::to_string(options_.retry_seconds) + " s: " +
                            WhyDown(event.reason, false) + "; --retry-seconds 0 waits for ever");
    return End(1);
  }
  if (first) Warn("disconnected", WhyDown(event.reason, had) + "; trying again");
}

// `had`: there was a connection.
std::string WorkerSession::WhyDown(const Status& reason, bool had) const {
  // Which has the address in it, and what to do.
  if (!had && reason.code() == StatusCode::kUnavailable) return reason.message();
  const bool known = reason.ok() || reason.code() == StatusCode::kUnavailable;
  return "lost the connection to the coordinator at " + options_.coordinator +
         (known ? "" : " (" + reason.message() + ")");
}

void WorkerSession::On(const StopRequested& event) {
  if (running_) Abandon();
  if (Greeted()) {
    v1::WorkerMessage message;
    message.mutable_goodbye()->set_reason(event.reason);
    Say(std::move(message));
  }
  Note("stopping", event.reason);
  End(0);
}

void WorkerSession::On(const Received& event) {
  if (link_ != Link::kGreeting && link_ != Link::kOpen) return;
  const v1::CoordinatorMessage& message = event.message;
  if (link_ == Link::kGreeting && !message.has_welcome()) {
    return Complain("message_ignored", "a message of the coordinator that came before its welcome");
  }
  switch (message.kind_case()) {
    case v1::CoordinatorMessage::kWelcome:
      return Take(message.welcome());
    case v1::CoordinatorMessage::kAssign:
      return Take(message.assign());
    case v1::CoordinatorMessage::kLease:
      return Take(message.lease());
    case v1::CoordinatorMessage::kCommit:
      return Take(message.commit());
    case v1::CoordinatorMessage::kCheckpointRequest:
      return Take(message.checkpoint_request());
    case v1::CoordinatorMessage::kRelease:
      return Take(message.release());
    case v1::CoordinatorMessage::kRevoke:
      return Take(message.revoke());
    case v1::CoordinatorMessage::KIND_NOT_SET:
      return Complain("message_ignored", "a message of the coordinator of an unknown kind");
  }
}

// ---- What the coordinator says -----------------------------------------------------------------

void WorkerSession::Take(const v1::Welcome& welcome) {
  link_ = Link::kOpen;
  worker_id_ = welcome.worker_id();
  down_since_ = -1;
  reconnect_.Succeeded();
  heartbeat_period_ = std::max<int64_t>(1, welcome.heartbeat_seconds()) * 1000;
  heartbeat_due_ = now_ + heartbeat_period_;
  Note("connected", "connected to " + options_.coordinator + " as worker " + welcome.worker_id());
  if (welcome.has_task()) prove_ = Prove{welcome.task(), welcome.task_data()};
}

void WorkerSession::Take(const v1::Assign& assign) {
  const std::string job = assign.job().SerializeAsString();
  const bool held = !assign.reload() && replica_ && replica_->job_id == assign.job_id() &&
                    replica_->job_bytes == job && replica_->step <= assign.step();
  queue_.clear();
  if (running_ && !std::holds_alternative<Prove>(running_->work)) {
    if (!held || !std::holds_alternative<Apply>(running_->work)) Abandon();
  }
  if (!held) replica_.reset();
  if (!assigned_ || assigned_->job_id() != assign.job_id()) reload_.Succeeded();
  assigned_ = assign;
  ready_ = false;
  close_ = false;
  catch_up_ = held;
  Note("assigned", "taking up " + assign.job().name() + " at step " +
                       std::to_string(assign.step()) + (held ? ", from step " : "") +
                       (held ? std::to_string(replica_->step) : ""));
}

void WorkerSession::Take(const v1::Lease& lease) {
  if (!assigned_ || lease.job_id() != assigned_->job_id()) {
    return Complain("message_ignored",
                    "a lease of job " + lease.job_id() + ", which this worker has not");
  }
  queue_.push_back(lease);
}

void WorkerSession::Take(const v1::Commit& commit) {
  if (!assigned_) return;
  DropLeases([&](const v1::Lease& lease) { return lease.step() <= commit.step(); });
  queue_.push_back(commit);
}

void WorkerSession::Take(const v1::CheckpointRequest& request) {
  if (!assigned_ || request.job_id() != assigned_->job_id()) return;
  queue_.push_back(request);
}

void WorkerSession::Take(const v1::Release& release) {
  const bool ours = assigned_ && release.job_id() == assigned_->job_id();
  const bool kept = replica_ && release.job_id() == replica_->job_id;
  if (!ours && !kept) return;
  Note("released", "job " + release.job_id() + " is over for this worker: " + release.reason());
  if (ours) {
    queue_.clear();
    assigned_.reset();
    ready_ = false;
    catch_up_ = false;
    if (running_ && !std::holds_alternative<Prove>(running_->work)) Abandon();
  }
  close_ = true;
}

void WorkerSession::Take(const v1::Revoke& revoke) {
  DropLeases([&](const v1::Lease& lease) { return lease.lease_id() == revoke.lease_id(); });
}

// ---- What the work came to ---------------------------------------------------------------------

void WorkerSession::On(const Completed& event) {
  if (!running_) return;
  const Running done = *std::exchange(running_, std::nullopt);
  // Even a broken-off catch-up leaves the replica somewhere.
  if (const auto* work = std::get_if<CatchUp>(&done.work);
      work != nullptr && replica_ && replica_->job_id == work->job_id) {
    replica_->step = event.step;
    replica_->digest = event.digest;
  }
  if (done.abandoned && !std::holds_alternative<Apply>(done.work)) return;
  std::visit([&](const auto& work) { Finish(work, event); }, done.work);
}

void WorkerSession::Finish(const Prove& work, const Completed& done) {
  if (!done.status.ok()) {
    Complain("not_proved", "the known-answer task failed: " + done.status.message());
    return End(1);
  }
  proved_task_ = work.task.SerializeAsString() + work.data;
  proved_digest_ = done.digest;
}

void WorkerSession::Finish(const Load& work, const Completed& done) {
  if (!done.status.ok()) return RetryLoading(done.status);
  replica_ =
      Replica{work.job_id, work.job.SerializeAsString(), done.step, done.digest, done.round_pairs};
  catch_up_ = true;
}

void WorkerSession::Finish(const CatchUp&, const Completed& done) {
  if (done.status.code() == StatusCode::kUnavailable) return RetryLoading(done.status);
  if (!done.status.ok()) {
    if (done.status.code() == StatusCode::kDataLoss)
      SendFailure(0, done.status.message(), replica_->digest);
    return Distrust(done.status.message());
  }
  catch_up_ = false;
  if (!ready_) {
    ready_ = true;
    reload_.Succeeded();
    Note("ready", "ready for work");
    return SayReady();
  }
  // The stream spoke of a step that even the durable commits do not reach.
  if (queue_.empty()) return;
  const auto* lease = std::get_if<v1::Lease>(&queue_.front());
  if (lease != nullptr && lease->step() > replica_->step) {
    SendFailure(lease->lease_id(), "step " + std::to_string(lease->step()) +
                                       " is ahead of the commits that can be fetched");
    queue_.pop_front();
  }
}

void WorkerSession::Finish(const Evaluate& work, const Completed& done) {
  const v1::Lease& lease = work.lease;
  if (!done.status.ok()) {
    Complain("evaluation_failed", Describe(lease) + ": " + done.status.message());
    return SendFailure(lease.lease_id(), done.status.message());
  }
  // The digest is taken anew. Of a replica that changed nobody knows what it scored, and of a lone
  // worker's the coordinator might know no other digest: its result stays here.
  if (done.digest != replica_->digest) {
    const std::string why = "the replica of step " + std::to_string(lease.step()) +
                            " has changed in memory, from " + Hex(replica_->digest) + " to " +
                            Hex(done.digest);
    SendFailure(lease.lease_id(), why, done.digest);
    return Distrust(why);
  }
  v1::WorkerMessage message;
  v1::Result& result = *message.mutable_result();
  result = done.result;
  result.set_job_id(lease.job_id());
  result.set_step(lease.step());
  result.set_lease_id(lease.lease_id());
  result.set_digest(done.digest);
  Say(std::move(message));
}

void WorkerSession::Finish(const Apply& work, const Completed& done) {
  if (!replica_) return;
  if (!done.status.ok()) {
    return Distrust("commit " + std::to_string(work.commit.step()) + ": " + done.status.message());
  }
  replica_->step = done.step;
  replica_->digest = done.digest;
  if (ready_) SayReady();
}

void WorkerSession::Finish(const Upload& work, const Completed& done) {
  if (!done.status.ok()) {
    return Complain("checkpoint_failed", "checkpoint of step " + std::to_string(work.step) + ": " +
                                             done.status.message());
  }
  if (!work.hash_only) return;
  v1::WorkerMessage message;
  v1::CheckpointHash& hash = *message.mutable_checkpoint_hash();
  hash.set_job_id(work.job_id);
  hash.set_step(work.step);
  hash.set_sha256(done.sha256);
  Say(std::move(message));
}

void WorkerSession::Finish(const Close&, const Completed&) {}

// ---- What comes next ---------------------------------------------------------------------------

void WorkerSession::StartNext() {
  while (!running_ && link_ == Link::kOpen) {
    if (prove_) {
      if (prove_->task.SerializeAsString() + prove_->data != proved_task_) return Run(*prove_);
      v1::WorkerMessage message;
      message.mutable_known_answer()->set_digest(proved_digest_);
      prove_.reset();
      Say(std::move(message));
    } else if (close_) {
      close_ = false;
      replica_.reset();
      return Run(Close{});
    } else if (!assigned_) {
      return;
    } else if (!replica_ || catch_up_ || !ready_) {
      if (!StartLoading()) return;
    } else if (!StartQueued()) {
      return;
    }
  }
}

bool WorkerSession::StartLoading() {
  if (now_ < reload_.due()) return false;
  if (replica_) {
    Run(CatchUp{assigned_->job_id()});
  } else {
    Run(Load{assigned_->job_id(), assigned_->job()});
  }
  return true;
}

bool WorkerSession::StartQueued() {
  if (queue_.empty()) return false;
  const Queued front = queue_.front();
  const bool done = std::visit([this](const auto& queued) { return Begin(queued); }, front);
  if (done) queue_.pop_front();
  return true;
}

bool WorkerSession::Begin(const v1::Lease& lease) {
  if (lease.step() < replica_->step) return true;  // its step is over
  if (lease.step() > replica_->step) {
    catch_up_ = true;
    return false;
  }
  Run(Evaluate{lease});
  // Twice the time that the coordinator allows, for its clock is not ours.
  if (lease.deadline_milliseconds() > 0)
    running_->until = now_ + 2 * int64_t{lease.deadline_milliseconds()};
  return true;
}

bool WorkerSession::Begin(const v1::Commit& commit) {
  if (commit.step() < replica_->step) return true;  // heard of already
  if (commit.step() > replica_->step) {
    catch_up_ = true;  // which fetches this one too: a commit is durable before it is sent
    return true;
  }
  if (commit.digest_before() != replica_->digest) {
    SendFailure(
        0,
        "the commit of step " + std::to_string(commit.step()) + " was computed on another replica",
        replica_->digest);
    Distrust("the replica at step " + std::to_string(commit.step()) + " has digest " +
             Hex(replica_->digest) + ", the coordinator's " + Hex(commit.digest_before()));
    return true;
  }
  Run(Apply{commit});
  return true;
}

bool WorkerSession::Begin(const v1::CheckpointRequest& request) {
  if (request.step() != replica_->step) {
    Complain("checkpoint_failed", "no checkpoint of step " + std::to_string(request.step()) +
                                      ": the replica is at step " + std::to_string(replica_->step));
    return true;
  }
  Run(Upload{request.job_id(), request.step(), request.hash_only(), request.ticket()});
  return true;
}

void WorkerSession::Run(Work work) {
  running_ = Running{work};
  actions_.push_back(Start{std::move(work)});
}

void WorkerSession::Abandon() {
  if (running_->abandoned) return;
  running_->abandoned = true;
  actions_.push_back(CancelWork{});
}

template <typename Predicate>
void WorkerSession::DropLeases(Predicate drop) {
  std::erase_if(queue_, [&](const Queued& queued) {
    const auto* lease = std::get_if<v1::Lease>(&queued);
    return lease != nullptr && drop(*lease);
  });
  if (!running_) return;
  const v1::Lease* lease = RunningLease(running_->work);
  if (lease != nullptr && drop(*lease)) Abandon();
}

void WorkerSession::Distrust(const std::string& why) {
  Complain("replica_distrusted", why + "; loading the job again from its newest checkpoint");
  replica_.reset();
  ready_ = false;
  catch_up_ = false;
  reload_.Failed(now_);
}

void WorkerSession::RetryLoading(const Status& status) {
  Complain("load_failed", "the job cannot be loaded: " + status.message());
  reload_.Failed(now_);
  if (status.code() != StatusCode::kUnavailable) SendFailure(0, status.message());
}

// ---- What the worker says ----------------------------------------------------------------------

void WorkerSession::SayReady() {
  v1::WorkerMessage message;
  message.mutable_ready()->set_job_id(replica_->job_id);
  message.mutable_ready()->set_step(replica_->step);
  message.mutable_ready()->set_digest(replica_->digest);
  message.mutable_ready()->set_round_pairs(replica_->round_pairs);
  Say(std::move(message));
}

void WorkerSession::SendHeartbeatIfDue() {
  if (link_ != Link::kOpen || now_ < heartbeat_due_) return;
  heartbeat_due_ = now_ + heartbeat_period_;
  v1::WorkerMessage message;
  message.mutable_heartbeat();
  if (assigned_ && replica_) {
    message.mutable_heartbeat()->set_job_id(replica_->job_id);
    message.mutable_heartbeat()->set_step(replica_->step);
  }
  Say(std::move(message));
}

// The coordinator has lent it to somebody else by now, and may not think of telling us.
void WorkerSession::AbandonIfOverdue() {
  if (!running_ || running_->abandoned || running_->until == 0 || now_ < running_->until) return;
  Warn("lease_given_up",
       "gave up " + Describe(*RunningLease(running_->work)) + ", which took too long");
  Abandon();
}

void WorkerSession::SendFailure(uint64_t lease_id, const std::string& text,
                                const std::string& digest) {
  v1::WorkerMessage message;
  v1::Failure& failure = *message.mutable_failure();
  failure.set_job_id(assigned_->job_id());
  failure.set_lease_id(lease_id);
  failure.set_message(text);
  if (!digest.empty()) {
    failure.set_step(replica_->step);
    failure.set_digest(digest);
  }
  Say(std::move(message));
}

void WorkerSession::Say(v1::WorkerMessage message) { actions_.push_back(Send{std::move(message)}); }

void WorkerSession::Write(LogLevel level, std::string event, std::string message) {
  LogLine line{level, std::move(event), std::move(message)};
  if (assigned_) line.job = assigned_->job_id();
  if (assigned_) line.step = replica_ ? replica_->step : assigned_->step();
  line.worker = worker_id_;
  actions_.push_back(std::move(line));
}

void WorkerSession::End(int code) {
  ended_ = true;
  actions_.push_back(Exit{code});
}

}  // namespace hatchery::worker

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/load/simulated_worker.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/core/philox.h"
#include "services/common/convert.h"
#include "services/common/sha256.h"
#include "tests/service/worker_messages.h"

namespace hatchery::load {
namespace {

constexpr std::chrono::seconds kHeartbeat{5};

std::string DigestAfter(const std::string& before, const v1::Commit& commit) {
  const Sha256Hash hash = Sha256Of(before + commit.fitness());
  return std::string(hash.begin(), hash.begin() + 16);
}

}  // namespace

SimulatedWorker::SimulatedWorker(Fleet& fleet, size_t number)
    : fleet_(fleet),
      number_(number),
      stub_(v1::WorkerService::NewStub(test::OwnChannel(fleet.address))) {
  context_.set_wait_for_ready(true);  // a thousand connect at once
}

void SimulatedWorker::Start() {
  std::lock_guard lock(mutex_);
  stub_->async()->Session(&context_, this);
  AddHold();  // others than gRPC's callbacks write
  reading_ = true;
  StartRead(&incoming_);
  Say(test::HelloOf("load-" + std::to_string(number_)));
  StartCall();
  fleet_.timer.After(kHeartbeat, [this] { Heartbeat(); });
}

void SimulatedWorker::Stick() {
  std::lock_guard lock(mutex_);
  stuck_ = true;
}

void SimulatedWorker::Leave() {
  std::lock_guard lock(mutex_);
  v1::WorkerMessage message;
  message.mutable_goodbye()->set_reason("the load is over");
  Say(std::move(message));
  stuck_ = false;
  if (reading_ || closed_) return;
  reading_ = true;
  StartRead(&incoming_);
}

std::optional<grpc::Status> SimulatedWorker::end() const {
  std::lock_guard lock(mutex_);
  return end_;
}

std::string SimulatedWorker::id() const {
  std::lock_guard lock(mutex_);
  return id_;
}

std::string SimulatedWorker::complaint() const {
  std::lock_guard lock(mutex_);
  return complaint_;
}

// ---- The stream --------------------------------------------------------------------------------

void SimulatedWorker::OnReadDone(bool ok) {
  std::lock_guard lock(mutex_);
  reading_ = false;
  if (!ok) return Close();
  Handle(incoming_);
  if (stuck_) return;
  reading_ = true;
  StartRead(&incoming_);
}

void SimulatedWorker::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  writing_ = false;
  outgoing_.pop_front();
  if (!ok) outgoing_.clear();  // the stream has ended; the read says how
  if (!outgoing_.empty()) Write();
}

void SimulatedWorker::OnDone(const grpc::Status& status) {
  {
    std::lock_guard lock(mutex_);
    end_ = status;
  }
  ++fleet_.ended;
}

void SimulatedWorker::Say(v1::WorkerMessage message) {
  if (closed_) return;
  outgoing_.push_back(std::move(message));
  if (!writing_) Write();
}

void SimulatedWorker::Write() {
  writing_ = true;
  StartWrite(&outgoing_.front());
}

void SimulatedWorker::Close() {
  if (std::exchange(closed_, true)) return;
  RemoveHold();
}

void SimulatedWorker::Complain(const std::string& what) {
  if (complaint_.empty()) complaint_ = what;
}

void SimulatedWorker::Heartbeat() {
  std::lock_guard lock(mutex_);
  if (closed_) return;
  v1::WorkerMessage message;
  message.mutable_heartbeat()->set_job_id(job_);
  message.mutable_heartbeat()->set_step(step_);
  if (!id_.empty()) Say(std::move(message));
  fleet_.timer.After(kHeartbeat, [this] { Heartbeat(); });
}

// ---- What the coordinator says -----------------------------------------------------------------

void SimulatedWorker::Handle(const v1::CoordinatorMessage& message) {
  switch (message.kind_case()) {
    case v1::CoordinatorMessage::kWelcome:
      id_ = message.welcome().worker_id();
      Say(test::AnswerTo(message.welcome()));
      ++fleet_.welcomed;
      break;
    case v1::CoordinatorMessage::kAssign:
      Take(message.assign());
      break;
    case v1::CoordinatorMessage::kLease:
      leases_.push_back(message.lease());
      StartNext();
      break;
    case v1::CoordinatorMessage::kCommit:
      Take(message.commit());
      break;
    case v1::CoordinatorMessage::kRevoke:
      DropLease(message.revoke().lease_id());
      break;
    case v1::CoordinatorMessage::kRelease:
      job_.clear();
      leases_.clear();
      break;
    default:
      Complain("a message that nobody asked for: " + message.ShortDebugString());
  }
}

void SimulatedWorker::Take(const v1::Assign& assign) {
  if (assign.reload()) Complain("the coordinator believes that its digest is wrong");
  leases_.clear();
  job_ = assign.job_id();
  step_ = assign.step();
  digest_ = step_ == 0 ? test::InitialDigest(assign.job()) : fleet_.ledger.DigestAt(assign.step());
  Say(test::ReadyAt(job_, step_, digest_));
}

void SimulatedWorker::Take(const v1::Commit& commit) {
  if (commit.step() != step_ || commit.digest_before() != digest_)
    return Complain("commit " + std::to_string(commit.step()) + " does not fit step " +
                    std::to_string(step_));
  std::erase_if(leases_, [&](const v1::Lease& lease) { return lease.step() <= step_; });
  digest_ = DigestAfter(digest_, commit);
  const Status heard = fleet_.ledger.Heard(commit, digest_);
  if (!heard.ok()) Complain(heard.message());
  ++step_;
  Say(test::ReadyAt(job_, step_, digest_));
}

void SimulatedWorker::DropLease(uint64_t lease_id) {
  std::erase_if(leases_, [&](const v1::Lease& lease) { return lease.lease_id() == lease_id; });
}

// ---- Work --------------------------------------------------------------------------------------

void SimulatedWorker::StartNext() {
  if (working_ || leases_.empty()) return;
  const v1::Lease& lease = leases_.front();
  if (!lease.has_pairs()) return Complain("a lease on held-out data, of which there is none");
  working_ = true;
  const uint32_t pairs = lease.pairs().end() - lease.pairs().begin();
  const uint32_t chance =
      core::Philox({static_cast<uint32_t>(lease.lease_id()), 1, 0, 0}, fleet_.spec.seed).w0;
  const double seconds = fleet_.pair_seconds * pairs * (0.8 + 0.4 * (chance / 0x1p32));
  const auto pause = std::chrono::duration<double>(seconds);
  fleet_.timer.After(std::chrono::duration_cast<Clock::duration>(pause),
                     [this, lease_id = lease.lease_id(), seconds] { Worked(lease_id, seconds); });
}

void SimulatedWorker::Worked(uint64_t lease_id, double seconds) {
  std::lock_guard lock(mutex_);
  working_ = false;
  // If it is not the first, it was dropped meanwhile.
  if (!leases_.empty() && leases_.front().lease_id() == lease_id) {
    if (!fleet_.over && !closed_) Evaluate(leases_.front(), seconds);
    leases_.pop_front();
  }
  StartNext();
}

void SimulatedWorker::Evaluate(const v1::Lease& lease, double seconds) {
  const Shard shard{lease.pairs().begin(), lease.pairs().end()};
  std::vector<int32_t> scores;
  for (uint32_t member = 2 * shard.begin; member < 2 * shard.end; ++member)
    scores.push_back(ScoreOf(fleet_.spec, lease.step(), member));
  v1::WorkerMessage message = test::ResultOf(lease, digest_, seconds);
  *message.mutable_result()->mutable_scores() = ScoresToProto(fleet_.spec, shard, scores);
  fleet_.ledger.Sent(number_, lease.step(), shard);
  Say(std::move(message));
}

}  // namespace hatchery::load

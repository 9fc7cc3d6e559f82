// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_worker.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/core/version.h"
#include "services/common/checkpoint.h"
#include "services/common/convert.h"
#include "services/common/protocol.h"
#include "services/common/sha256.h"
#include "tests/simulation/sim_coordinator.h"

namespace hatchery::simulation {

using worker::Completed;

SimWorker::SimWorker(World& world, uint32_t index)
    : world_(world), index_(index), liar_(world.plan.liar && index + 1 == world.plan.workers) {
  lies_from_ = static_cast<uint32_t>(world.random.Between(1, 4));
}

int64_t SimWorker::Clock() const {
  return clock_offset_ +
         static_cast<int64_t>(static_cast<double>(world_.now()) * world_.plan.clock_rates[index_]);
}

void SimWorker::Start() {
  if (running()) return;
  ++life_;
  worker::SessionOptions options;
  options.hello.set_protocol_version(kProtocolVersion);
  options.hello.set_contract_version(core::kContractVersion);
  options.hello.set_name("machine" + std::to_string(index_) + "/" + std::to_string(life_));
  options.coordinator = "simulated";
  session_ = std::make_unique<worker::WorkerSession>(std::move(options));
  working_ = flipped_ = false;
  weights_ = nullptr;
  Handle(worker::Tick{});
}

void SimWorker::Crash(int64_t down) {
  if (!running()) return;
  ++life_;
  session_.reset();
  weights_ = nullptr;
  if (stream_) {
    stream_->worker_open = false;
    world_.After(world_.random.Between(1, 3000), [&world = world_, stream = stream_] {
      if (stream->coordinator_open && world.coordinator() != nullptr)
        world.coordinator()->Disconnected(stream, "the stream was cut");
    });
  }
  stream_ = nullptr;
  world_.After(down, [this] { Start(); });
}

void SimWorker::Stop(int64_t away) {
  if (!running()) return;
  Handle(worker::StopRequested{"terminated"});
  Crash(away);
}

void SimWorker::FlipBit() {
  if (!running() || weights_ == nullptr) return;
  std::vector<int8_t> bytes = weights_->bytes;
  const auto at =
      static_cast<size_t>(world_.random.Between(0, static_cast<int64_t>(bytes.size()) - 1));
  bytes[at] = static_cast<int8_t>(bytes[at] ^ (1 << world_.random.Between(0, 7)));
  weights_ = Lab::Make(std::move(bytes));
  flipped_ = true;
  if (stream_) stream_->suspect = true;
}

void SimWorker::Later(int64_t milliseconds, std::function<void()> run) {
  world_.After(milliseconds, [this, life = life_, run = std::move(run)] {
    if (life != life_ || !running()) return;
    if (world_.now() > frozen_until_ && waiting_.empty()) return run();
    if (waiting_.empty()) Thaw();
    waiting_.emplace_back(life, run);
  });
}

// Runs what waits for the end of a freeze, in the order in which it came.
void SimWorker::Thaw() {
  world_.After(frozen_until_ - world_.now() + 1, [this] {
    if (world_.now() <= frozen_until_) return Thaw();  // frozen again meanwhile
    for (const auto& [life, run] : std::exchange(waiting_, {}))
      if (life == life_ && running()) run();
  });
}

void SimWorker::Handle(const worker::Event& event) {
  const uint64_t life = life_;
  const auto actions = session_->Handle(Clock(), event);
  for (const worker::Action& action : actions) {
    if (life != life_) return;
    std::visit([this](const auto& a) { Perform(a); }, action);
  }
  if (life == life_ && running()) Schedule();
}

void SimWorker::Schedule() {
  const auto tick = session_->NextTick();
  if (!tick) return;
  const double left =
      static_cast<double>(std::max<int64_t>(0, *tick - Clock())) / world_.plan.clock_rates[index_];
  Later(static_cast<int64_t>(left) + 1, [this, due = *tick] {
    if (session_->NextTick() && *session_->NextTick() <= std::max(due, Clock()))
      Handle(worker::Tick{});
  });
}

// ---- The stream --------------------------------------------------------------------------------

void SimWorker::Perform(const worker::Connect&) {
  Later(world_.random.Between(1, 50), [this] { world_.OpenStream(index_); });
}

void SimWorker::Opened(const StreamPtr& stream) {
  Later(0, [this, stream] {
    if (!stream->worker_open)  // cut off before we heard that it is there
      return Handle(worker::Disconnected{Unavailable("the stream was cut")});
    stream_ = stream;
    stream->suspect = liar_ || flipped_;
    Handle(worker::Connected{});
  });
}

void SimWorker::Received(const StreamPtr& stream, const v1::CoordinatorMessage& message) {
  if (!running()) return;
  Later(0, [this, stream, message] {
    if (stream != stream_) return;
    if (world_.tracing())
      world_.Trace("  " + stream->id + " <- " + message.ShortDebugString().substr(0, 160));
    Handle(worker::Received{message});
  });
}

void SimWorker::Closed(const StreamPtr& stream, const Status& reason) {
  if (!running()) return;
  Later(0, [this, stream, reason] {
    if (stream != nullptr && stream != stream_) return;
    stream_ = nullptr;
    Handle(worker::Disconnected{reason});
  });
}

void SimWorker::Perform(const worker::Send& action) {
  if (!stream_) return;
  const StreamPtr stream = stream_;
  world_.Carry(stream, false, !action.message.has_hello() && !action.message.has_goodbye(),
               [&world = world_, stream, message = action.message] {
                 if (world.coordinator() != nullptr) world.coordinator()->Said(stream, message);
               });
}

void SimWorker::Perform(const LogLine& line) {
  world_.Trace("worker " + std::to_string(index_) + ": " + line.event + ": " + line.message);
}

void SimWorker::Perform(const worker::Exit& action) {
  // Whoever looks after the process starts it again, unless it was stopped or sent away for lying.
  if (action.code == 0) return;
  Crash(liar_ ? 1'000'000'000 : 5'000);
}

// ---- Work --------------------------------------------------------------------------------------

void SimWorker::Perform(const worker::Start& action) {
  if (working_) world_.Fail("two pieces of work at once");
  ++work_;
  working_ = cancellable_ = true;
  std::visit([this](const auto& work) { Begin(work); }, action.work);
}

void SimWorker::Perform(const worker::CancelWork&) {
  if (!working_ || !cancellable_) return;
  ++work_;
  Finish(world_.random.Between(1, 20), [this] { return WithWeights(Cancelled("stopped")); });
}

void SimWorker::Finish(int64_t milliseconds, std::function<Completed()> result) {
  const int64_t slow = world_.now() < slow_until_ ? 20 : 1;
  Later(milliseconds * slow, [this, work = work_, result = std::move(result)] {
    if (work != work_ || !working_) return;
    const Completed done = result();
    working_ = false;
    Handle(done);
  });
}

Completed SimWorker::WithWeights(Status status) const {
  Completed done;
  done.status = std::move(status);
  done.step = step_;
  done.digest = digest_;
  return done;
}

void SimWorker::Begin(const worker::Prove&) {
  Finish(10, [] { return Completed{.status = InternalError("not asked for here")}; });
}

void SimWorker::Begin(const worker::Load& work) {
  weights_ = nullptr;
  auto bytes = std::make_shared<std::string>();
  world_.Call(
      index_,
      [job = work.job_id, bytes](SimCoordinator& coordinator) -> Status {
        HATCHERY_ASSIGN_OR_RETURN(*bytes, coordinator.FetchCheckpoint(job));
        return {};
      },
      [this, life = life_, number = work_, bytes](Status status) {
        if (life != life_ || number != work_) return;
        Finish(world_.random.Between(1, 50), [this, status, bytes] {
          step_ = 0;
          weights_ = world_.lab.Initial();
          if (status.ok()) {
            const auto checkpoint = DecodeCheckpoint(*bytes, "a fetched checkpoint");
            if (!checkpoint.ok()) return Completed{.status = checkpoint.status()};
            step_ = checkpoint->step;
            weights_ = Lab::Make(checkpoint->weights);
          } else if (status.code() != StatusCode::kNotFound) {
            return Completed{.status = status};
          }
          digest_ = weights_->digest;
          Completed done = WithWeights({});
          // Not known, one, usual, and nonsense.
          done.round_pairs = std::array{0u, 1u, 12u, UINT32_MAX}[(world_.plan.seed + index_) % 4];
          return done;
        });
      });
}

void SimWorker::Begin(const worker::CatchUp& work) {
  auto commits = std::make_shared<std::vector<v1::Commit>>();
  world_.Call(
      index_,
      [job = work.job_id, from = step_, commits](SimCoordinator& coordinator) -> Status {
        HATCHERY_ASSIGN_OR_RETURN(*commits, coordinator.FetchCommits(job, from));
        return {};
      },
      [this, life = life_, number = work_, commits](Status status) {
        if (life != life_ || number != work_) return;
        Finish(5 * static_cast<int64_t>(commits->size()) + 1, [this, status, commits] {
          if (!status.ok()) return WithWeights(status);
          for (const v1::Commit& commit : *commits)
            if (Status applied = ApplyChecked(commit); !applied.ok()) return WithWeights(applied);
          return WithWeights({});
        });
      });
}

// As services/worker/loader.cc does.
Status SimWorker::ApplyChecked(const v1::Commit& proto) {
  HATCHERY_ASSIGN_OR_RETURN(const WireCommit wire, CommitFromProto(proto));
  if (wire.commit.step != step_) return FailedPrecondition("a commit of another step");
  HATCHERY_RETURN_IF_ERROR(
      CheckFitness(wire.commit.encoding, wire.commit.fitness, world_.lab.spec().pairs()));
  digest_ = weights_->digest;
  if (DigestToBytes(wire.digest_before) != digest_)
    return DataLoss("commit " + std::to_string(step_) + " was computed on another digest");
  weights_ = world_.lab.Apply(weights_, wire.commit);
  digest_ = weights_->digest;
  ++step_;
  if (!flipped_ && digest_ != world_.lab.truth()[step_]->digest)
    world_.Fail("a replica of step " + std::to_string(step_) + " is not the one-process run's");
  return {};
}

void SimWorker::Begin(const worker::Apply& work) {
  cancellable_ = false;
  Finish(world_.random.Between(1, 20),
         [this, commit = work.commit] { return WithWeights(ApplyChecked(commit)); });
}

void SimWorker::Begin(const worker::Evaluate& work) {
  const v1::Lease& lease = work.lease;
  const bool pairs = lease.has_pairs();
  const uint32_t begin = pairs ? lease.pairs().begin() : lease.held_out().begin();
  const uint32_t end = pairs ? lease.pairs().end() : lease.held_out().end();
  if (std::exchange(hang_next_, false)) return;  // until it is cancelled
  const int64_t took = 1 + (end - begin) * world_.plan.pair_times[index_];
  Finish(took, [this, lease, pairs, begin, end, took, weights = weights_] {
    Completed done = WithWeights({});
    done.result.set_seconds(static_cast<double>(took) / 1000);
    if (pairs)
      *done.result.mutable_scores() = world_.lab.Scores(weights, step_, {begin, end});
    else if (begin < end)
      *done.result.mutable_held_out() = HeldOutToProto(world_.lab.HeldOut(weights, begin, end));
    else
      done.result.mutable_held_out();
    if (Lies(lease)) {
      Falsify(done.result);
      if (stream_) stream_->lies.insert(lease.lease_id());
    }
    done.digest = digest_ = weights_->digest;  // whatever happened meanwhile
    return done;
  });
}

bool SimWorker::Lies(const v1::Lease& lease) const {
  if (!liar_ || lease.step() < lies_from_) return false;
  if (lease.has_pairs()) return world_.plan.lies_of_pairs;
  return world_.plan.lies_of_held_out && lease.held_out().begin() < lease.held_out().end();
}

void SimWorker::Falsify(v1::Result& result) const {
  const auto by = static_cast<int32_t>(life_);
  if (result.has_held_out()) {
    result.mutable_held_out()->set_score(result.held_out().score() - by);
    return;
  }
  v1::ShardScores& scores = *result.mutable_scores();
  std::string& trits = *scores.mutable_trits();
  if (!trits.empty()) trits[0] = static_cast<char>(trits[0] == 0 ? 1 : 0);
  if (scores.scores_size() > 0) {  // exchanged, so that the pair's fitness has another sign
    const int32_t first = scores.scores(0);
    scores.set_scores(0, scores.scores(1) - by);
    scores.set_scores(1, first);
  }
  scores.set_score_sum(scores.score_sum() - by);
}

void SimWorker::Begin(const worker::Upload& work) {
  std::string bytes = EncodeCheckpoint(world_.lab.job(), work.step, weights_->bytes);
  if (!work.hash_only)
    world_.Call(
        index_,
        [work, bytes](SimCoordinator& coordinator) -> Status {
          coordinator.Offer(work.job_id, work.step, work.ticket, bytes);
          return {};
        },
        [](const Status&) {});
  Finish(2, [this, bytes] {
    Completed done = WithWeights({});
    const Sha256Hash hash = Sha256Of(bytes);
    done.sha256.assign(hash.begin(), hash.end());
    return done;
  });
}

void SimWorker::Begin(const worker::Close&) {
  cancellable_ = false;
  Finish(1, [this] {
    weights_ = nullptr;
    return Completed{};
  });
}

}  // namespace hatchery::simulation

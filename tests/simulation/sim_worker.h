// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A worker's machine: its process starts, dies and starts again; the real session decides, the work
// takes simulated time.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/worker/session.h"
#include "tests/simulation/world.h"

namespace hatchery::simulation {

class SimWorker {
 public:
  SimWorker(World& world, uint32_t index);

  void Start();
  // The process is gone, without a word; it starts again after `down` milliseconds.
  void Crash(int64_t down);
  // SIGTERM; it starts again after `away` milliseconds.
  void Stop(int64_t away);
  void Freeze(int64_t milliseconds) {
    frozen_until_ = std::max(frozen_until_, world_.now() + milliseconds);
  }
  void Slow(int64_t milliseconds) { slow_until_ = world_.now() + milliseconds; }
  void HangNext() { hang_next_ = true; }
  void FlipBit();
  void JumpClock(int64_t milliseconds) { clock_offset_ += milliseconds; }

  void Opened(const StreamPtr& stream);
  void Received(const StreamPtr& stream, const v1::CoordinatorMessage& message);
  void Closed(const StreamPtr& stream, const Status& reason);

  bool running() const { return session_ != nullptr; }

 private:
  int64_t Clock() const;
  // Runs later in this process, if it still lives; a frozen one waits.
  void Later(int64_t milliseconds, std::function<void()> run);
  void Thaw();
  void Handle(const worker::Event& event);
  void Schedule();

  void Perform(const worker::Connect&);
  void Perform(const worker::Send& action);
  void Perform(const worker::Start& action);
  void Perform(const worker::CancelWork&);
  void Perform(const LogLine& line);
  void Perform(const worker::Exit& action);

  void Begin(const worker::Prove&);
  void Begin(const worker::Load& work);
  void Begin(const worker::CatchUp& work);
  void Begin(const worker::Evaluate& work);
  void Begin(const worker::Apply& work);
  void Begin(const worker::Upload& work);
  void Begin(const worker::Close&);
  // The running work ends after so long, unless it was cancelled or the process died.
  void Finish(int64_t milliseconds, std::function<worker::Completed()> result);
  worker::Completed WithWeights(Status status) const;
  Status ApplyChecked(const v1::Commit& proto);
  bool Lies(const v1::Lease& lease) const;
  // Much as services/worker/chaos.cc does, but otherwise in every life: two of them do not agree.
  void Falsify(v1::Result& result) const;

  World& world_;
  const uint32_t index_;
  const bool liar_;
  uint32_t lies_from_ = 0;
  uint64_t life_ = 0;
  std::unique_ptr<worker::WorkerSession> session_;
  StreamPtr stream_;
  int64_t frozen_until_ = -1, slow_until_ = 0, clock_offset_ = 0;
  std::vector<std::pair<uint64_t, std::function<void()>>> waiting_;  // with the life it is of
  bool hang_next_ = false, flipped_ = false;
  uint64_t work_ = 0;  // number of the running work
  bool cancellable_ = false;
  bool working_ = false;
  WeightsPtr weights_;
  uint32_t step_ = 0;
  std::string digest_;  // as last taken
};

}  // namespace hatchery::simulation

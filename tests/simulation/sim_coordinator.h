// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The coordinator's process, from start to death: what engine.cc does with threads and sockets,
// done with simulated time.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "services/coordinator/core.h"
#include "services/coordinator/job_store.h"
#include "services/coordinator/recovery.h"
#include "services/coordinator/referee.h"
#include "tests/simulation/world.h"

namespace hatchery::simulation {

class SimCoordinator {
 public:
  // Recovers what the disk holds; an error if it does not let it start.
  static StatusOr<std::unique_ptr<SimCoordinator>> Start(World& world);
  // Once the world knows it.
  void Begin();

  void Connected(const StreamPtr& stream);
  void Said(const StreamPtr& stream, const v1::WorkerMessage& message);
  void Disconnected(const StreamPtr& stream, const std::string& reason);

  // Calls beside the stream.
  StatusOr<std::string> FetchCheckpoint(const std::string& job) const;
  StatusOr<std::vector<v1::Commit>> FetchCommits(const std::string& job, uint32_t from) const;
  void Offer(const std::string& job, uint32_t step, const std::string& ticket, std::string bytes);

  // People.
  void Submit();
  Status Pause();
  Status Resume();
  Status Cancel();
  // The one that was submitted last; none if it is not known here.
  std::optional<v1::JobState> Job() const;

  void JumpClock(int64_t milliseconds) { clock_offset_ += milliseconds; }
  const coordinator::JobStore& store() const { return *store_; }

 private:
  struct Offered {
    std::string job;
    uint32_t step;
    std::string bytes, sha256;
  };
  using StepOf = std::pair<std::string, uint32_t>;  // a job
  explicit SimCoordinator(World& world);
  int64_t Clock() const { return world_.now() + clock_offset_; }
  // Runs later in this process, if it still lives.
  void Later(int64_t milliseconds, std::function<void()> run);
  void Do(const coordinator::Core::Actions& actions);
  void Do(const coordinator::Send& action);
  void Do(const coordinator::CloseWorker& action);
  void Do(const coordinator::Append& action);
  void Do(const coordinator::AskReferee& action);
  void Do(const coordinator::LogEvent& action);
  void Do(const coordinator::JobChanged& action);
  void Do(const coordinator::WorkerChanged&) {}  // nobody looks at the list of workers here
  void Do(const coordinator::Struck& action) { world_.strikes[action.name] = action.count; }
  void WriteNext();
  void WrittenWrong(const StepOf& step, const std::string& what);
  void Written(const coordinator::Append& append, const Status& status);
  void JudgeOffers();
  void Keep(const Offered& offer);  // a believed one
  void Tick();
  // What is said of lies: each is disputed before its step is done, or nobody was there to do it.
  void HeardLie(const v1::Result& result);
  bool Watched() const;
  void NoteLies(const v1::Event& event);
  void CheckDisputed(const StepOf& step) const;
  void CheckAnnounced(const std::string& job, const v1::Commit& commit) const;

  World& world_;
  int64_t clock_offset_ = 1'000'000;
  std::unique_ptr<coordinator::JobStore> store_;
  std::unique_ptr<coordinator::Core> core_;
  std::unique_ptr<coordinator::Referee> referee_;
  std::map<std::string, StreamPtr> streams_;
  std::deque<coordinator::Append> appends_;
  bool writing_ = false;
  std::deque<Offered> offers_;
  std::vector<coordinator::RecoveredJob> recovered_;
  uint64_t next_worker_ = 1;
  std::set<std::string> liars_;  // the lying worker's ids
  std::set<uint64_t> lent_;      // to it
  std::set<StepOf> lied_;        // with a lie that must be disputed
  std::set<StepOf> unaudited_;   // that a lie may have got into
};

}  // namespace hatchery::simulation

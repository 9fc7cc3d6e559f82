// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The shell around the core: gives it events and the time, and does what it says. Knows nothing of
// gRPC; the services (worker_service.h, client_service.h) call it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "services/common/checkpoint.h"
#include "services/coordinator/catalogue.h"
#include "services/coordinator/core.h"
#include "services/coordinator/curve.h"
#include "services/coordinator/job_store.h"
#include "services/coordinator/referee.h"
#include "services/coordinator/weight_figures.h"

namespace hatchery::coordinator {

// The way to one worker. Calls return at once and never call the engine back.
class WorkerStream {
 public:
  virtual ~WorkerStream() = default;
  // Puts the message into the stream's queue. Flush follows, so that what is said to a worker at
  // one time goes to the network in one piece.
  virtual void Send(v1::CoordinatorMessage message) = 0;
  virtual void Flush() = 0;
  // Ends the stream after what was sent before.
  virtual void Close(const Status& reason) = 0;
};

struct EngineOptions {
  uint32_t heartbeat_seconds = 5;  // between two signs of life of a worker
  double audit_share = 0;          // of the shards, [0, 1]
  std::optional<BackendOptions> referee = BackendOptions{};  // what it replays on; none: no referee
};

// Thread-safe.
class Engine {
 public:
  // Recovers all jobs of the store and starts the threads.
  static StatusOr<std::unique_ptr<Engine>> Start(std::unique_ptr<JobStore> store,
                                                 const EngineOptions& options);
  ~Engine() { Stop(); }
  // Ends every stream and wait (kUnavailable) and the threads. What was announced is durable. Calls
  // that come later find nothing to do.
  void Stop();

  const JobStore& store() const { return *store_; }

  // Workers. `stream` must live until Disconnected returns.
  std::string Connect(WorkerStream* stream);
  void Received(const std::string& worker, const v1::WorkerMessage& message);
  void Disconnected(const std::string& worker, const std::string& reason);

  // Jobs. `job` must have passed ValidateJob, and its files must be stored. kResourceExhausted if
  // there are `most` unfinished ones.
  StatusOr<std::string> Submit(const v1::Job& job, uint32_t most);
  StatusOr<v1::JobState> Pause(const std::string& job);
  StatusOr<v1::JobState> Resume(const std::string& job);
  StatusOr<v1::JobState> Cancel(const std::string& job);
  StatusOr<v1::JobState> Job(const std::string& job) const;
  std::vector<v1::JobState> Jobs() const;
  // Those connected, and unless `connected_only` those that were, newest last.
  StatusOr<std::vector<v1::WorkerState>> Workers(bool connected_only) const;
  // Oldest first, the newest `most` (by default ten thousand); an empty id: all jobs' and the
  // coordinator's own.
  StatusOr<std::vector<v1::Event>> Events(const std::string& job, uint32_t most = 10'000) const;

  // How things stand at one moment: all jobs, the connected workers, and the events since the
  // `events_seen`-th, but no more than the newest `most_events`.
  struct Glance {
    std::vector<v1::JobState> jobs;
    std::vector<v1::WorkerState> workers;
    std::vector<v1::Event> events;
    uint64_t events_so_far = 0;  // since the start
  };
  Glance LookAround(uint64_t events_seen, uint32_t most_events) const;

  // Of the job's steps in (from, to], no more than about `most` (curve.h).
  StatusOr<Curve> CurveOf(const std::string& job, uint32_t from, uint32_t to, uint32_t most) const;

  // What is shown to those who watch, with the states of at most `jobs` jobs.
  struct Overview {
    Figures figures;
    std::map<std::string, uint64_t> events;        // since the start, by kind
    std::map<std::string, WeightFigures> weights;  // by job: of its newest checkpoint
  };
  Overview Watch(size_t jobs) const;

  // Updates of `job` from the `seen`-th on, a thousand at most, and its state. Waits up to half a
  // second for news if there is none and the job was in `state`.
  struct News {
    std::vector<v1::JobUpdate> updates;
    bool more = false;  // updates, to be asked for at once
    v1::JobState state;
  };
  StatusOr<News> WaitForNews(const std::string& job, size_t seen, v1::JobState::State state);

  // The newest sound checkpoint at or before a step that agrees with the journal, and is not beyond
  // it: both may have been restored from a backup. Nothing if there is none.
  struct OpenCheckpoint {
    uint32_t step;
    std::unique_ptr<ReadFile> file;
  };
  StatusOr<std::optional<OpenCheckpoint>> FindCheckpoint(const std::string& job, uint32_t step);
  // OK if a checkpoint of that step is waited for from the worker with that ticket, and none was
  // offered yet.
  Status CheckWanted(const std::string& job, uint32_t step, const std::string& ticket);
  // The same, for the one upload that a ticket is good for at a time; EndUpload follows.
  Status BeginUpload(const std::string& job, uint32_t step, const std::string& ticket);
  void EndUpload(const std::string& ticket);
  // An encoded checkpoint that the worker with that ticket offers. Waits until a second worker or
  // the referee confirms it, or until `given_up`, then stores it.
  Status OfferCheckpoint(const std::string& job, uint32_t step, const std::string& ticket,
                         std::string_view bytes, const std::function<bool()>& given_up);
  // `listener` hears of every job that has a new checkpoint stored, without locks held. It must
  // return at once and live as long as calls of OfferCheckpoint.
  using CheckpointListener = std::function<void(const std::string& job)>;
  void OnCheckpoint(CheckpointListener listener);

 private:
  Engine(std::unique_ptr<JobStore> store, std::unique_ptr<Catalogue> catalogue, CoreOptions core,
         const EngineOptions& options)
      : store_(std::move(store)),
        catalogue_(std::move(catalogue)),
        core_(std::move(core)),
        referee_(PosixDisk(), *store_, options.referee.value_or(BackendOptions{})) {}

  Status RecoverJobs();
  void RecoverJob(const std::string& id, const v1::JobState* known);
  StatusOr<v1::JobState> Change(StatusOr<Core::Actions> (Core::*change)(int64_t,
                                                                        const std::string&),
                                const std::string& job);

  // With mutex_ held:
  void Do(Core::Actions actions);
  void Do(Send& action);
  void Do(const CloseWorker& action);
  void Do(const Append& action);
  void Do(const AskReferee& action);
  void Do(const LogEvent& action);
  void Do(const JobChanged& action);
  void Do(const WorkerChanged& action);
  void Do(const Struck& action);
  void SaveEvents();
  // OK at once if the catalogue has that already. Durably: it is on stable storage on return.
  Status SaveState(const v1::JobState& state, bool durably);
  void SaveUnstored();
  // Without mutex_. kDataLoss if the job's journal says that its step has another digest.
  Status CheckAgainstJournal(const std::string& job, const Checkpoint& checkpoint) const;
  // Without mutex_. Compares a checkpoint with the one before it.
  void MeasureWeights(const std::string& job, const Checkpoint& checkpoint);
  // A failure of the catalogue stops nothing: it is an index.
  static void Complain(const Status& status);

  void WriteJournals(std::stop_token stop);
  void Arbitrate(std::stop_token stop);
  void Tick(std::stop_token stop);

  const std::unique_ptr<JobStore> store_;

  std::mutex submit_mutex_;  // one new job at a time; taken before mutex_
  std::mutex look_mutex_;    // one checkpoint is looked at at a time; taken before mutex_
  std::mutex keep_mutex_;    // one checkpoint is stored at a time; never taken with mutex_ held
  mutable std::mutex mutex_;
  std::condition_variable_any news_;   // for those who wait for a job
  std::condition_variable_any work_;   // for the journal thread
  std::condition_variable_any doubt_;  // for the referee's thread
  std::condition_variable_any pause_;  // of the tick thread; never signalled but to stop
  const std::unique_ptr<Catalogue> catalogue_;
  Core core_;
  std::map<std::string, WorkerStream*> streams_;
  std::vector<WorkerStream*> unflushed_;  // of the actions that are being done
  std::map<std::string, std::vector<v1::JobUpdate>> updates_;
  std::deque<Append> appends_;
  std::deque<AskReferee> questions_;
  Referee referee_;                            // its thread's own
  std::map<std::string, std::string> stored_;  // by job: its state as the catalogue has it, encoded
  std::set<std::string> unstored_;             // jobs whose state it has not taken
  std::deque<v1::Event> unsaved_;
  std::map<std::string, uint64_t> events_;  // counted by kind
  std::map<std::string, WeightFigures> weights_;
  std::set<std::string> uploads_;  // tickets of checkpoints that are on their way
  CheckpointListener on_checkpoint_;
  uint64_t next_worker_ = 1;
  bool stopping_ = false;

  std::jthread journal_thread_, referee_thread_, tick_thread_;
};

}  // namespace hatchery::coordinator

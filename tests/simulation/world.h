// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// One run of one job in a simulated world: the real core, journal, recovery, referee and worker
// sessions; the network, clocks, disk, processes and people are ours and follow from a seed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "tests/simulation/lab.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/random.h"
#include "tests/simulation/sim_disk.h"

namespace hatchery::simulation {

// Mistakes in the shell, made on purpose: the simulation must find them. Those in the core are in
// CMakeLists.txt.
enum class Bug { kNone, kLostSync, kLostName, kLostRewrite, kEarlyAnnounce };

struct Outcome {
  std::string failure;                   // empty: all is well
  int64_t milliseconds = 0;              // simulated
  std::map<std::string, uint64_t> seen;  // events of the coordinator, by kind
};

class SimCoordinator;
class SimWorker;

// A stream between a worker and a coordinator, in order unless the plan says otherwise. Each side
// learns of its end on its own.
struct Stream {
  uint32_t worker = 0;
  std::string id;   // the core's name for the worker
  std::string job;  // that the worker was told of last
  bool worker_open = true, coordinator_open = true;
  std::set<uint64_t> lies;  // leases whose results are
  bool suspect = false;  // what the worker said here may be wrong; it may have been restarted since
  int64_t next_to_worker = 0, next_to_coordinator = 0;  // when the last message arrives
};
using StreamPtr = std::shared_ptr<Stream>;

class World {
 public:
  // `directory` is a real one that holds the job's data as DIR/files/SHA256. `trace` may be null.
  World(const Plan& plan, Lab& lab, const std::string& directory, Bug bug, std::ostream* trace);
  ~World();
  Outcome Run();

  // ---- For the processes ----
  Random random;
  SimDisk disk;
  Lab& lab;
  const Plan plan;
  const std::string directory;
  const Bug bug;
  int64_t now() const { return now_; }
  void After(int64_t milliseconds, std::function<void()> run);
  bool tracing() const { return trace_ != nullptr; }
  void Trace(const std::string& line);
  void Fail(const std::string& what);
  // A lie that nobody could give a second opinion on is in the journal; nothing can be said about
  // what follows.
  void LieStands(uint32_t step);
  // Something may happen within so many milliseconds.
  void Trouble(int64_t milliseconds);
  void Saw(const std::string& kind) { ++outcome_.seen[kind]; }

  // Carries a message; `deliver` is called at the other side if the stream still stands there.
  void Carry(const StreamPtr& stream, bool to_worker, bool may_repeat,
             std::function<void()> deliver);
  // A call beside the stream: `serve` runs at the coordinator, `done` at the worker.
  void Call(uint32_t worker, std::function<Status(SimCoordinator&)> serve,
            std::function<void(Status)> done);
  void OpenStream(uint32_t worker);
  void CloseAtWorker(const StreamPtr& stream, const Status& reason);

  SimCoordinator* coordinator() { return coordinator_.get(); }
  SimWorker& worker(uint32_t index) { return *workers_[index]; }
  uint64_t life() const { return life_; }  // of the coordinator's process

  // What the catalogue holds; kept over a crash, perhaps older after a power cut.
  std::vector<v1::JobState> catalogue;
  std::vector<v1::JobState> catalogue_before;
  std::map<std::string, uint32_t> strikes;
  std::string submitted;  // the job that people know of; what is left of a failed submission is not
  // Bytes of a job's journal after each commit, as the shell was told.
  std::map<std::string, std::map<uint32_t, uint64_t>> commit_ends;
  bool lied = false;  // the disk has broken its word, or lost what it held

 private:
  struct Event {
    int64_t at;
    uint64_t order;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  void StartCoordinator();
  void StopCoordinator(bool power_cut);
  void Strike(const Fault& fault);
  void Cut(const Fault& fault, bool to_worker, bool from_worker);
  void Operate();
  void Repair(const v1::JobState& job);
  void CheckEnd();

  std::priority_queue<Event> events_;
  int64_t now_ = 0;
  uint64_t order_ = 0;
  uint64_t life_ = 0;
  std::ostream* trace_;
  Outcome outcome_;
  bool finished_ = false, lie_stands_ = false;
  int64_t paused_until_ = 0;                // by a client
  std::vector<int64_t> cut_to_, cut_from_;  // until when, by worker
  std::vector<StreamPtr> streams_;          // newest, by worker
  std::vector<std::unique_ptr<SimWorker>> workers_;
  std::unique_ptr<SimCoordinator> coordinator_;
};

}  // namespace hatchery::simulation

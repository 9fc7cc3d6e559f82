// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The core with fake workers around it: their scores and digests are plain functions of step and
// pair, their disk is a list of records, their referee knows the truth. Everything is delivered in
// order, when the test says so.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "services/coordinator/core.h"

namespace hatchery::coordinator {

struct FakeWorker {
  std::deque<v1::CoordinatorMessage> inbox;
  bool closed = false;
  Status close_status;
  std::string job;
  uint32_t step = 0;
  bool stuck = false;                // keeps its leases and says nothing
  uint32_t wrong_from = UINT32_MAX;  // from this step on its digests are wrong, until it reloads
  uint32_t lies_from = UINT32_MAX;   // from this step on its scores are wrong, for ever,
  bool lies_of_held_out = false;     // those of held-out streams instead of those of pairs
  uint32_t round_pairs = 0;          // that it says to be ready with
  double pair_seconds = 0;           // that a pair takes, as it says, beside 10 ms a lease
  std::string ticket;                // of the last upload that it was asked for
  uint64_t results = 0;
  uint32_t reloads = 0;
  std::vector<v1::Lease> held;     // by a stuck worker
  std::vector<v1::Lease> worked;   // the others
  std::vector<std::string> order;  // kinds of the messages it has handled, "commit 3"
};

class FakeWorld {
 public:
  explicit FakeWorld(CoreOptions options = {});

  static v1::Job MakeJob(uint32_t steps, uint32_t population = 200);
  void Submit(const std::string& id, const v1::Job& job);
  // Connects a worker and says Hello; without a name, its id is its name.
  void Join(const std::string& id, const std::string& name = "");
  void Leave(const std::string& id);
  void Do(Core::Actions actions);
  void Say(const std::string& id, const v1::WorkerMessage& message);
  void SayReady(const std::string& id, const FakeWorker& worker);
  // Handles one message of a worker; false if there is none.
  bool Work(const std::string& id);
  // Lets everybody work until nothing moves; time passes by `tick` milliseconds a round.
  void RunToEnd(int64_t tick = 10, int rounds = 5000);
  // Makes what waits durable.
  void Sync();
  // Answers the referee's questions, and stores or refuses the checkpoints that were judged.
  void Judge();
  bool Has(const std::string& kind) const;  // an event of that kind was logged

  v1::WorkerMessage ResultFor(const FakeWorker& worker, const v1::Lease& lease) const;
  static std::string DigestAt(uint32_t step);
  static std::string FileHash(const std::string& digest) { return digest + digest; }
  v1::ShardScores ScoresFor(const v1::Lease& lease, bool lie) const;
  static v1::HeldOutSums HeldOutFor(uint32_t streams, bool lie);

  Core core;
  int64_t now = 1000;
  bool auto_sync = true;
  bool disk_full = false;
  bool reverse = false;  // workers take turns from the last
  std::map<std::string, FakeWorker> workers;
  std::map<std::string, std::vector<CommitRecord>> commits;
  std::map<std::string, ClosingRecord> closings;
  std::map<std::string, std::vector<uint32_t>> checkpoints;
  std::deque<Append> appends;
  std::deque<AskReferee> questions;
  Status referee_status;  // not OK: it cannot answer
  struct Offer {
    std::string job;
    uint32_t step;
    std::string sha256;
  };
  std::deque<Offer> offers;
  std::vector<v1::Event> events;
  std::map<std::string, uint32_t> strikes;  // as the core said
};

// Runs until the job is at `step`.
void RunToStep(FakeWorld& world, const std::string& job, uint32_t step);
// Job "a" of so many steps, taken up by these workers, at `step`.
void StartJob(FakeWorld& world, uint32_t steps, const std::vector<std::string>& workers,
              uint32_t step);
// The commits that honest workers come to.
std::vector<CommitRecord> Honest(uint32_t steps);

}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The books of a load run: every result that was sent, every commit that was heard, and whether the
// coordinator's own count agrees with them to the pair.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"
#include "kernels/job_spec.h"
#include "kernels/replica.h"
#include "kernels/status.h"

namespace hatchery::load {

using Clock = std::chrono::steady_clock;

// What a member of the simulated population scores: a plain function, so that everybody knows what
// a commit must be.
int32_t ScoreOf(const JobSpec& spec, uint32_t step, uint32_t member);

// What happened since it was last asked.
struct Tally {
  uint64_t results = 0, commits = 0;
  // From the moment at which the last missing result of a step went out until a worker heard of
  // its commit, milliseconds: one for every worker and step.
  std::vector<float> latencies;

  void Add(const Tally& other);
  // Of the latencies, sorted by this; 0 if there are none.
  double Percentile(double share);
};

// Thread-safe.
class Ledger {
 public:
  Ledger(JobSpec spec, size_t workers);

  // `worker` is about to send its result for the shard.
  void Sent(size_t worker, uint32_t step, Shard shard);
  // A worker heard of a commit, after which its digest is `digest`. An error if it is not the
  // commit that the scores give, or came before the step's results.
  Status Heard(const v1::Commit& commit, const std::string& digest);
  // After that many commits, at least one: what the workers agreed on; empty if nobody heard.
  std::string DigestAt(uint32_t step) const;

  Tally Take();
  // Steps whose commit was heard.
  uint32_t steps() const;
  // Pairs that were sent, and those of them that were sent at least once more.
  uint64_t pairs_sent() const;
  uint64_t pairs_repeated() const;
  // Compares with the pairs that the coordinator counted for each worker. Of those that several
  // sent it counts one; whatever one worker alone sent must be its own.
  Status Balance(const std::vector<uint64_t>& counted) const;

 private:
  struct Step {
    std::vector<uint32_t> sender;  // of every fifth pair, + 1; 0: nobody, kSeveral: several
    uint32_t missing = 0;          // pairs that nobody has sent
    Clock::time_point complete;    // when the last one was sent
    std::string digest;            // after its commit
  };
  struct Account {
    uint64_t sent = 0;   // pairs
    uint64_t alone = 0;  // of them: that nobody else sent
  };
  Step& At(uint32_t step);

  const JobSpec spec_;
  mutable std::mutex mutex_;
  std::map<uint32_t, Step> steps_;  // the newest
  std::vector<Account> accounts_;
  uint32_t heard_ = 0;  // steps
  uint64_t distinct_ = 0, repeated_ = 0;
  Tally tally_;
};

}  // namespace hatchery::load

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What the core counts and tells to those who watch it: plain values.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"
#include "services/common/distribution.h"

namespace hatchery::coordinator {

// The phases of a step, one after the other; together they are the whole of it. From the
// announcement of the commit before to the first report on its outcome, to the last score that
// came in, to the agreement on the digest (and the end of audits), to the record being durable.
enum class StepPhase { kCommit, kEvaluate, kWait, kJournal };

// Since the coordinator started, over all jobs; nothing here ever falls.
struct Tally {
  uint64_t steps = 0;                  // committed and durable
  uint64_t tokens = 0;                 // scored in them
  std::array<Distribution, 4> phases;  // by StepPhase

  // Shards: leases of pairs or held-out streams.
  uint64_t shards_assigned = 0;   // lent, hedges and audits not counted
  uint64_t shards_completed = 0;  // with a result that was accepted
  uint64_t shards_hedged = 0;     // lent a second time because the first was slow
  // Taken back without a result, by why:
  uint64_t shards_expired = 0;
  uint64_t shards_failed = 0;
  uint64_t shards_withdrawn = 0;  // their worker left or had to load the job anew
  uint64_t shards_audited = 0;
  uint64_t shards_disputed = 0;
  uint64_t digests_disputed = 0;
};

// How things stand.
struct Figures {
  Tally tally;
  std::map<std::pair<std::string, std::string>, uint32_t> workers;  // by state and backend
  std::map<v1::JobState::State, uint32_t> jobs;                     // by state
  // The one that runs, then the newest ones.
  std::vector<v1::JobState> recent;
};

}  // namespace hatchery::coordinator

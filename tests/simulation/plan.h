// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What goes wrong in a simulated run, and when: all of it follows from a seed, and a run can be
// repeated with fewer faults to find those that matter.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hatchery::simulation {

enum class FaultKind {
  kCrashWorker,       // the process dies and starts again
  kStopWorker,        // a clean exit, and a start later
  kFreezeWorker,      // it is not scheduled at all
  kSlowWorker,        // its work takes twenty times as long
  kHangWork,          // its next evaluation ends only when it is cancelled
  kFlipBit,           // of its weights
  kClockJump,         // forward
  kCrashCoordinator,  // the process dies and starts again
  kPowerCut,          // of the coordinator's machine
  kDiskFull,
  kDiskFails,
  kDiskLies,  // syncs do nothing; a power cut ends it
  kRotCheckpoint,
  kRotJournal,   // found when the coordinator is next started
  kPartition,    // both ways
  kCutToWorker,  // one way
  kCutFromWorker,
  kPauseJob,   // by a client, who resumes it
  kCancelJob,  // by a client, who submits it anew
};
const char* Name(FaultKind kind);

struct Fault {
  FaultKind kind;
  int64_t at = 0;        // milliseconds
  int64_t duration = 0;  // milliseconds
  uint32_t worker = 0;   // where it matters
};

struct Plan {
  uint64_t seed = 0;
  uint32_t job = 0;  // which of the jobs
  uint32_t workers = 1;
  std::vector<int64_t> joins;  // when each worker starts
  std::vector<double> clock_rates;
  std::vector<int64_t> pair_times;  // milliseconds to evaluate a pair
  double audit_share = 0;
  // The last worker lies from some step on. Then no fault strikes the first one, so that somebody
  // honest is there to find it out.
  bool liar = false;
  bool lies_of_pairs = true, lies_of_held_out = false;  // about these
  bool trouble_while_storing = false;  // something happens while a checkpoint is being written
  bool hostile_streams = false;        // messages come twice and out of order
  std::vector<Fault> faults;
};

Plan MakePlan(uint64_t seed);
std::string Describe(const Fault& fault);

}  // namespace hatchery::simulation

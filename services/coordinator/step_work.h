// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What one step of a job still needs, is out on loan, and has got. Plain data with the invariants
// of ranges: pure, no clock.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/replica.h"

namespace hatchery::coordinator {

// The part of [0, size) that nobody works on.
class RangePool {
 public:
  explicit RangePool(uint32_t size) {
    if (size > 0) free_[0] = size;
  }
  bool empty() const { return free_.empty(); }
  // The lowest free range, at most `most` long. The pool must not be empty.
  Shard Take(uint32_t most);
  // Gives back a range that was taken; neighbours are joined.
  void Return(Shard range);

 private:
  std::map<uint32_t, uint32_t> free_;  // begin -> end
};

struct LeaseState {
  std::string worker;
  bool held_out = false;
  Shard range;
  int64_t issued = 0;    // milliseconds
  int64_t deadline = 0;  // milliseconds
  int64_t expected = 0;  // milliseconds that the work should take
  int64_t late = 0;      // milliseconds; from then on an idle worker may do it too
  bool audit = false;    // a second opinion on a range that is done
};

// Accepted results, keyed by where their range begins; ranges never overlap.
struct PairPart {
  uint32_t end = 0;
  std::string trits;            // rule SIGN
  std::vector<int32_t> scores;  // rule NORMALIZED
  int64_t score_sum = 0;
  bool operator==(const PairPart&) const = default;
};
// A second opinion on an accepted range of pairs, from its choice to its verdict.
struct Audit {
  enum class State { kWanted, kLent, kWithReferee };
  State state = State::kWanted;
  uint32_t end = 0;
  uint32_t attempts = 0;  // that came to nothing
  std::string author;     // of the accepted part
  std::string auditor;    // kWithReferee: who says otherwise,
  PairPart other;         // and what
};
struct StreamPart {
  uint32_t end = 0;
  HeldOutSums sums;
  bool operator==(const StreamPart&) const = default;
};

// Who reports which digest for the step.
class Votes {
 public:
  void Cast(const std::string& voter, const std::string& digest);
  void Withdraw(const std::string& voter);
  // Null: it has not voted.
  const std::string* Of(const std::string& voter) const;
  size_t size() const { return of_.size(); }
  // Everybody who voted voted for this one.
  bool AllFor(const std::string& digest) const {
    return counts_.empty() || (counts_.size() == 1 && counts_.begin()->first == digest);
  }
  const std::map<std::string, std::string>& all() const { return of_; }  // voter -> digest
  const std::map<std::string, size_t>& counts() const { return counts_; }

 private:
  std::map<std::string, std::string> of_;
  std::map<std::string, size_t> counts_;  // digest -> voters, at least 1
};

// Every message of every worker looks here: nothing that is asked often walks over all leases or
// all votes.
struct StepWork {
  StepWork(uint32_t pair_count, uint32_t stream_count)
      : pairs(pair_count),
        streams(stream_count),
        pairs_left(pair_count),
        streams_left(stream_count) {}

  // Nothing is left to do but to agree on the digest.
  bool complete() const { return pairs_left == 0 && streams_left == 0 && audits.empty(); }
  // Not everybody votes for `digest`.
  bool disputed() const { return !votes.AllFor(digest); }
  bool Done(bool held_out, Shard range) const;
  // Nobody works on some range.
  bool HasFree() const { return !pairs.empty() || !streams.empty(); }
  void AddLease(uint64_t id, LeaseState lease);
  // Takes the lease off the books; its range is free again unless it is done or a copy is out.
  void DropLease(uint64_t id);
  // Leases on exactly this range, without audits.
  std::vector<uint64_t> LeasesOn(bool held_out, Shard range) const;
  // The lease that is most overdue at `now`, on a range that is lent once, to another than
  // `worker`; 0 if there is none.
  uint64_t MostOverdue(int64_t now, const std::string& worker) const;
  void AcceptPairs(uint32_t begin, PairPart part, const std::string& author);
  // Forgets what was accepted from `author`: the ranges are free again.
  void DropPairsOf(const std::string& author);
  void AcceptStreams(uint32_t begin, StreamPart part);
  HeldOutSums HeldOutTotal() const;

  RangePool pairs, streams;
  uint32_t pairs_left, streams_left;
  std::map<uint64_t, LeaseState> leases;  // changed by AddLease and DropLease only
  std::map<uint32_t, PairPart> pair_parts;
  std::map<uint32_t, std::string> authors;  // of pair_parts
  std::map<uint32_t, Audit> audits;         // by where their range begins
  std::map<uint32_t, StreamPart> stream_parts;
  std::string digest;  // that every accepted result was computed on; or empty
  Votes votes;
  int64_t waiting_since = -1;  // for votes, in milliseconds; -1: not waiting

 private:
  using Place = std::pair<bool, uint32_t>;  // held-out or not, where the range begins
  std::pair<int64_t, uint64_t> ByLate(uint64_t id) const { return {leases.at(id).late, id}; }

  std::map<Place, std::vector<uint64_t>> on_;     // leases that are no audits
  std::set<std::pair<int64_t, uint64_t>> alone_;  // ByLate of those that are alone on their range
};

}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What one step of a job still needs, is out on loan, and has got. Plain data with the invariants
// of ranges: pure, no clock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/replica.h"

namespace hatchery::coordinator {

// Pairs, or held-out streams.
struct Range {
  bool held_out = false;
  Shard shard;
  bool operator==(const Range&) const = default;
};

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

// What the evaluation of a range came to.
struct Part {
  uint32_t end = 0;
  std::string trits;            // of pairs, rule SIGN
  std::vector<int32_t> scores;  // of pairs, rule NORMALIZED
  int64_t score_sum = 0;        // of pairs
  HeldOutSums sums;             // of held-out streams
  bool operator==(const Part&) const = default;
};
// A second opinion on an accepted part, from its choice to its verdict.
struct Audit {
  enum class State { kWanted, kLent, kWithReferee };
  State state = State::kWanted;
  Range range;
  uint32_t attempts = 0;  // that came to nothing
  std::string author;     // of the accepted part,
  std::string name;       // and what it calls itself
  std::string auditor;    // kWithReferee: who says otherwise,
  Part other;             // and what
};

// Who reports which digest for the step. A worker that came back on another stream, while its old
// one is not given up yet, votes on both: it is one voice, by its name.
class Votes {
 public:
  void Cast(const std::string& voter, const std::string& name, const std::string& digest);
  void Withdraw(const std::string& voter);
  // Null: it has not voted.
  const std::string* Of(const std::string& voter) const;
  bool empty() const { return of_.empty(); }
  // Different names among the voters.
  size_t voices() const { return names_.size(); }
  // Everybody who voted voted for this one.
  bool AllFor(const std::string& digest) const {
    return backers_.empty() || (backers_.size() == 1 && backers_.begin()->first == digest);
  }
  // The digest that more than half of the voices are for, if they are two at least; else null.
  const std::string* Majority() const;
  struct Vote {
    std::string name, digest;
  };
  const std::map<std::string, Vote>& all() const { return of_; }  // by voter

 private:
  using Names = std::map<std::string, size_t>;  // how many voters have it, at least 1
  static void Remove(Names& names, const std::string& name);

  std::map<std::string, Vote> of_;
  Names names_;
  std::map<std::string, Names> backers_;  // by digest; none is empty
};

// Every message of every worker looks here: nothing that is asked often walks over all leases or
// all votes.
struct StepWork {
  // Where a range begins: held-out or not, and its first pair or stream. Pairs come first.
  using Place = std::pair<bool, uint32_t>;

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
  void Accept(Place place, Part part, const std::string& author);
  // Forgets what was accepted from `author`: the ranges are free again.
  void DropPartsOf(const std::string& author);
  // None if the step has no held-out streams.
  std::optional<HeldOutSums> HeldOutTotal() const;

  RangePool pairs, streams;
  uint32_t pairs_left, streams_left;
  std::map<uint64_t, LeaseState> leases;  // changed by AddLease and DropLease only
  std::map<Place, Part> parts;            // accepted; ranges never overlap
  std::map<Place, std::string> authors;   // of the parts
  std::map<Place, Audit> audits;          // of some of them
  std::string digest;                     // that every accepted result was computed on; or empty
  Votes votes;
  int64_t waiting_since = -1;  // for votes, in milliseconds; -1: not waiting

 private:
  std::pair<int64_t, uint64_t> ByLate(uint64_t id) const { return {leases.at(id).late, id}; }

  std::map<Place, std::vector<uint64_t>> on_;     // leases that are no audits
  std::set<std::pair<int64_t, uint64_t>> alone_;  // ByLate of those that are alone on their range
};

}  // namespace hatchery::coordinator

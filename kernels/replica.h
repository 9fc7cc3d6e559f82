// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The one interface that the backends implement and everything else uses: the gRPC worker, the
// one-process trainer, the replay verifier and the benchmarks.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/commit.h"
#include "kernels/job_spec.h"
#include "kernels/model.h"
#include "kernels/status.h"

namespace hatchery {

// A contiguous range of pairs, [begin, end).
struct Shard {
  uint32_t begin = 0;
  uint32_t end = 0;
  uint32_t pairs() const { return end - begin; }
  bool operator==(const Shard&) const = default;
};

// The bytes that a job trains on and is measured on. Not owned: the caller keeps them alive and
// unchanged for the replica's life.
struct DataView {
  std::span<const uint8_t> train;
  std::span<const uint8_t> held_out;
};

// Held-out sums over a range of streams (docs/contract.md, section 6). Sums of disjoint ranges add.
struct HeldOutSums {
  int64_t score = 0;         // sum of TokenScore, 1/4096 bit
  int64_t coarse_score = 0;  // sum of CoarseTokenScore, 1/16 bit
  uint64_t correct = 0;      // tokens whose logit is the first largest
  uint64_t tokens = 0;

  HeldOutSums& operator+=(const HeldOutSums& other);
  bool operator==(const HeldOutSums&) const = default;
};

// Recurrent state of the unperturbed model, for sampling: layers * hidden bytes, zero at the start.
using RecurrentState = std::vector<int8_t>;

// A model's weights at a step, on some device, with the operations of training. Not thread-safe:
// one call at a time; backends are parallel inside. All results are exact: equal on every backend.
// Ranges of replica bytes are multiples of 8 (Model). Errors name what is wrong in one line.
class Replica {
 public:
  virtual ~Replica() = default;

  virtual const JobSpec& spec() const = 0;
  virtual const Model& model() const = 0;
  // For people: "cpu (oneDNN, avx512_core_vnni, 2 threads)".
  virtual std::string Description() const = 0;

  // Pairs that the device evaluates at a time: a shard takes as long as one that fills its last
  // round of so many. Of held-out streams it takes twice as many. At least 1; for speed only.
  virtual uint32_t RoundPairs() const { return 1; }

  // The step that the weights are at: commits applied since step 0.
  virtual uint32_t step() const = 0;

  // Scores of the members of `shard` at step(): scores[2 (pair - begin) + {0, 1}], in 1/4096 bit,
  // for members 2p (+noise) and 2p + 1 (-noise). `scores` has 2 * shard.pairs() places.
  // kCancelled if `stop` was requested first. Needs training data.
  virtual Status Evaluate(Shard shard, std::stop_token stop, std::span<int32_t> scores) = 0;

  // Unperturbed scores of held-out streams [begin, end), of spec().held_out_streams.
  virtual StatusOr<HeldOutSums> Validate(uint32_t begin, uint32_t end, std::stop_token stop) = 0;

  // Applies the commit of step(); step() grows by one. kFailedPrecondition for another step.
  virtual Status Apply(const Commit& commit) = 0;

  // The two halves of Apply, for gangs and slow workers: the bytes [offset, offset + out.size()) of
  // the replica after `commit`, without changing it; and replacing such bytes.
  virtual Status UpdateSlice(const Commit& commit, uint64_t offset, std::span<int8_t> out) = 0;
  virtual Status Install(uint64_t offset, std::span<const int8_t> bytes) = 0;

  // Digest of bytes [offset, offset + size) of the replica.
  virtual StatusOr<core::Digest> DigestOf(uint64_t offset, uint64_t size) = 0;
  StatusOr<core::Digest> DigestOfAll() { return DigestOf(0, model().bytes()); }

  // All model().bytes() bytes.
  virtual StatusOr<std::vector<int8_t>> Snapshot() = 0;
  // Replaces weights and step. `weights` has model().bytes() bytes.
  virtual Status Restore(uint32_t step, std::span<const int8_t> weights) = 0;

  // Feeds one byte to the unperturbed model: 256 logits in sixteenths of a bit; `state` advances.
  virtual StatusOr<std::vector<int8_t>> Logits(uint8_t token, RecurrentState& state) = 0;
};

inline HeldOutSums& HeldOutSums::operator+=(const HeldOutSums& other) {
  score += other.score;
  coarse_score += other.coarse_score;
  correct += other.correct;
  tokens += other.tokens;
  return *this;
}

// Of one held-out stream, whose tokens backends count in 32 bits.
inline constexpr uint64_t kMaxStreamBytes = uint64_t{1} << 32;
// Bytes [begin, end) of the held-out split that stream `stream` of `streams` covers; it predicts
// every byte but its first. Streams have equal length; a remainder at the end is not scored.
struct StreamSpan {
  uint64_t begin, end;
};
inline StreamSpan HeldOutStream(uint64_t held_out_bytes, uint32_t streams, uint32_t stream) {
  const uint64_t length = held_out_bytes / streams;
  return {stream * length, (stream + 1) * length};
}

// What every backend asks of its arguments. OK if `shard` is within the population, `scores` has
// two places a pair, and there is training data, of `train_bytes`.
Status CheckEvaluate(const JobSpec& spec, Shard shard, size_t scores, uint64_t train_bytes);
// OK if streams [begin, end) are the job's and, unless there are none, there is held-out data of
// two to kMaxStreamBytes bytes a stream.
Status CheckValidate(const JobSpec& spec, uint32_t begin, uint32_t end, uint64_t held_out_bytes);
// OK if `bytes` of weights are a whole replica.
Status CheckWeights(const Model& model, uint64_t bytes);
// Makes an empty state the zero one; OK if it has the model's size.
Status PrepareState(const JobSpec& spec, RecurrentState& state);
// OK if `replica` can apply `commit` now: it is of its step and its fitness is well-formed.
Status CheckCommit(const Replica& replica, const Commit& commit);
// OK if bytes [offset, offset + size) are whole words within the model; `what` is done to them, for
// the message.
Status CheckBytes(const char* what, const Model& model, uint64_t offset, uint64_t size);

// OK if `data` fits `spec`: at least one window, and two to kMaxStreamBytes bytes a held-out stream
// unless there is no held-out data at all.
Status CheckData(const JobSpec& spec, const DataView& data);
// The same, for data that is known by its size only.
Status CheckDataSizes(const JobSpec& spec, uint64_t train_bytes, uint64_t held_out_bytes);

}  // namespace hatchery

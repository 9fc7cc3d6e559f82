// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/lab.h"

#include <cassert>
#include <span>
#include <utility>

#include "services/common/backend.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/replay.h"

namespace hatchery::simulation {
namespace {

DataView ViewOf(const v1::Job& job, const std::string& data) {
  const std::span bytes(reinterpret_cast<const uint8_t*>(data.data()), data.size());
  const auto cut = [&](const v1::DataSplit& split) {
    return bytes.subspan(split.begin(), split.end() - split.begin());
  };
  return {cut(job.train()), cut(job.held_out())};
}

template <typename T>
T Value(StatusOr<T> value) {
  assert(value.ok());
  return std::move(*value);
}

constexpr size_t kRemembered = 20'000;

void Must(const Status& status) { assert(status.ok()); }

}  // namespace

Lab::Lab(const v1::Job& job, const std::string& data) : job_(job), spec_(Value(SpecFromJob(job))) {
  replica_ = Value(CreateReplica(spec_, ViewOf(job, data), {.name = "cpu", .threads = 1}));
  truth_.push_back(Make(Value(replica_->Snapshot())));
  for (uint32_t step = 0; step < job.steps(); ++step) {
    commits_.push_back(MakeRecord(step));
    truth_.push_back(Apply(truth_.back(), commits_.back().commit));
  }
  closing_.step = job.steps();
  closing_.digest = Value(DigestFromBytes(truth_.back()->digest));
  closing_.held_out = HeldOut(truth_.back(), 0, job.held_out_streams());
}

WeightsPtr Lab::Make(std::vector<int8_t> bytes) {
  auto weights = std::make_shared<Weights>();
  weights->digest = DigestToBytes(DigestOfBytes(bytes, 0));
  weights->bytes = std::move(bytes);
  return weights;
}

CommitRecord Lab::MakeRecord(uint32_t step) {
  const WeightsPtr& weights = truth_.back();
  const v1::ShardScores scores = Scores(weights, step, {0, spec_.pairs()});
  CommitRecord record;
  record.commit =
      spec_.fitness == FitnessRule::kSign
          ? MakeSignCommit(spec_, step, {scores.trits().begin(), scores.trits().end()})
          : MakeNormalizedCommit(spec_, step, std::vector<int32_t>(scores.scores().begin(),
                                                                   scores.scores().end()));
  record.digest_before = Value(DigestFromBytes(weights->digest));
  record.score_sum = scores.score_sum();
  record.scored_tokens = TokensPerStep(job_);
  record.nonzero_pairs = NonzeroPairs(record.commit, spec_.pairs());
  if (ValidatesAt(job_, step)) record.held_out = HeldOut(weights, 0, job_.held_out_streams());
  return record;
}

void Lab::Hold(const WeightsPtr& weights, uint32_t step) {
  if (held_ == weights && replica_->step() == step) return;
  Must(replica_->Restore(step, weights->bytes));
  held_ = weights;
}

v1::ShardScores Lab::Scores(const WeightsPtr& weights, uint32_t step, Shard shard) {
  if (scores_.size() > kRemembered) scores_.clear();
  std::vector<int32_t>& all = scores_[weights->digest + std::to_string(step)];
  if (all.empty()) {
    Hold(weights, step);
    all.resize(spec_.population);
    Must(replica_->Evaluate({0, spec_.pairs()}, {}, all));
  }
  return ScoresToProto(spec_, shard,
                       std::span(all).subspan(2 * shard.begin, size_t{2} * shard.pairs()));
}

HeldOutSums Lab::HeldOut(const WeightsPtr& weights, uint32_t begin, uint32_t end) {
  const std::string key =
      weights->digest + std::to_string(begin) + "," + std::to_string(end);
  const auto known = held_out_.find(key);
  if (known != held_out_.end()) return known->second;
  if (held_out_.size() > kRemembered) held_out_.clear();
  Hold(weights, 0);
  return held_out_[key] = Value(replica_->Validate(begin, end, {}));
}

WeightsPtr Lab::Apply(const WeightsPtr& weights, const Commit& commit) {
  std::string key = weights->digest + std::to_string(commit.step) + ",";
  key.append(commit.fitness.begin(), commit.fitness.end());
  if (applied_.size() > kRemembered) applied_.clear();
  WeightsPtr& after = applied_[key];
  if (after == nullptr) {
    Hold(weights, commit.step);
    Must(replica_->Apply(commit));
    after = Make(Value(replica_->Snapshot()));
    held_ = nullptr;
  }
  return after;
}

}  // namespace hatchery::simulation

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/load/ledger.h"

#include <algorithm>

#include "kernels/commit.h"
#include "kernels/core/trits.h"

namespace hatchery::load {
namespace {

constexpr uint32_t kUnit = core::kTritsPerByte;  // shards begin at multiples of it
constexpr uint32_t kSeveral = UINT32_MAX;
constexpr size_t kStepsKept = 16;  // nobody sends results for older ones

// The commit that the whole population's scores give.
Commit TrueCommit(const JobSpec& spec, uint32_t step) {
  std::vector<int32_t> scores(spec.population);
  for (uint32_t member = 0; member < spec.population; ++member)
    scores[member] = ScoreOf(spec, step, member);
  return MakeCommit(spec, step, scores);
}

}  // namespace

int32_t ScoreOf(const JobSpec& spec, uint32_t step, uint32_t member) {
  uint64_t x = spec.seed + (uint64_t{step} << 32) + member;  // splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return -1 - static_cast<int32_t>((x ^ (x >> 31)) % 1000);
}

void Tally::Add(const Tally& other) {
  results += other.results;
  commits += other.commits;
  latencies.insert(latencies.end(), other.latencies.begin(), other.latencies.end());
}

double Tally::Percentile(double share) {
  if (latencies.empty()) return 0;
  if (!std::is_sorted(latencies.begin(), latencies.end()))
    std::sort(latencies.begin(), latencies.end());
  return latencies[static_cast<size_t>(share * static_cast<double>(latencies.size() - 1))];
}

Ledger::Ledger(JobSpec spec, size_t workers) : spec_(std::move(spec)), accounts_(workers) {}

Ledger::Step& Ledger::At(uint32_t step) {
  Step& at = steps_[step];
  if (at.sender.empty()) {
    at.sender.resize((spec_.pairs() + kUnit - 1) / kUnit);
    at.missing = spec_.pairs();
  }
  while (steps_.size() > kStepsKept && steps_.begin()->first < step) steps_.erase(steps_.begin());
  return at;
}

void Ledger::Sent(size_t worker, uint32_t step, Shard shard) {
  const uint32_t name = static_cast<uint32_t>(worker) + 1;
  std::lock_guard lock(mutex_);
  Step& at = At(step);
  ++tally_.results;
  for (uint32_t begin = shard.begin; begin < shard.end; begin += kUnit) {
    const uint32_t pairs = std::min(kUnit, shard.end - begin);
    uint32_t& sender = at.sender[begin / kUnit];
    accounts_[worker].sent += pairs;
    if (sender == 0) {
      sender = name;
      accounts_[worker].alone += pairs;
      distinct_ += pairs;
      at.missing -= pairs;
      if (at.missing == 0) at.complete = Clock::now();
    } else {
      repeated_ += pairs;
      if (sender != kSeveral && sender != name) {
        accounts_[sender - 1].alone -= pairs;
        sender = kSeveral;
      }
    }
  }
}

Status Ledger::Heard(const v1::Commit& commit, const std::string& digest) {
  const Clock::time_point now = Clock::now();
  const std::string name = "the commit of step " + std::to_string(commit.step());
  std::lock_guard lock(mutex_);
  if (commit.step() > heard_)
    return InternalError(name + " came before that of step " + std::to_string(heard_));
  if (commit.step() < heard_ && !steps_.contains(commit.step())) return {};  // by a slow reader
  Step& at = At(commit.step());
  if (at.missing != 0)
    return InternalError(name + " came before " + std::to_string(at.missing) + " of its pairs");
  if (at.digest.empty()) {
    const Commit right = TrueCommit(spec_, commit.step());
    if (!std::equal(right.fitness.begin(), right.fitness.end(), commit.fitness().begin(),
                    commit.fitness().end(),
                    [](uint8_t a, char b) { return a == static_cast<uint8_t>(b); }))
      return InternalError(name + " is not what its scores give");
    at.digest = digest;
    heard_ = commit.step() + 1;
    ++tally_.commits;
  }
  if (at.digest != digest) return InternalError(name + " is another one than others heard");
  tally_.latencies.push_back(std::chrono::duration<float, std::milli>(now - at.complete).count());
  return {};
}

std::string Ledger::DigestAt(uint32_t step) const {
  std::lock_guard lock(mutex_);
  const auto at = steps_.find(step - 1);
  return at == steps_.end() ? "" : at->second.digest;
}

Tally Ledger::Take() {
  std::lock_guard lock(mutex_);
  return std::exchange(tally_, {});
}

uint32_t Ledger::steps() const {
  std::lock_guard lock(mutex_);
  return heard_;
}

uint64_t Ledger::pairs_sent() const {
  std::lock_guard lock(mutex_);
  return distinct_ + repeated_;
}

uint64_t Ledger::pairs_repeated() const {
  std::lock_guard lock(mutex_);
  return repeated_;
}

Status Ledger::Balance(const std::vector<uint64_t>& counted) const {
  std::lock_guard lock(mutex_);
  uint64_t total = 0;
  for (size_t w = 0; w < accounts_.size(); ++w) {
    total += counted[w];
    if (counted[w] < accounts_[w].alone)
      return DataLoss("worker " + std::to_string(w) + " alone sent " +
                      std::to_string(accounts_[w].alone) + " pairs; the coordinator counted " +
                      std::to_string(counted[w]));
    if (counted[w] > accounts_[w].sent)
      return InternalError("worker " + std::to_string(w) + " sent " +
                           std::to_string(accounts_[w].sent) + " pairs; the coordinator counted " +
                           std::to_string(counted[w]));
  }
  if (total != distinct_)
    return DataLoss(std::to_string(distinct_) + " pairs were sent; the coordinator counted " +
                    std::to_string(total));
  return {};
}

}  // namespace hatchery::load

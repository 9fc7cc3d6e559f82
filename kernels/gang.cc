// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/gang.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace hatchery {
namespace {

class GangReplica : public Replica {
 public:
  explicit GangReplica(std::unique_ptr<GangMembers> members) : members_(std::move(members)) {}

  const JobSpec& spec() const override { return first().spec(); }
  const Model& model() const override { return first().model(); }
  uint32_t step() const override { return first().step(); }
  std::string Description() const override { return members_->Description(); }
  // Members are taken to be alike: each gets as much of a shard as the others.
  uint32_t RoundPairs() const override { return members_->size() * first().RoundPairs(); }

  Status Evaluate(Shard shard, std::stop_token stop, std::span<int32_t> scores) override;
  StatusOr<HeldOutSums> Validate(uint32_t begin, uint32_t end, std::stop_token stop) override;
  Status Apply(const Commit& commit) override;
  Status UpdateSlice(const Commit& commit, uint64_t offset, std::span<int8_t> out) override {
    return first().UpdateSlice(commit, offset, out);
  }
  Status Install(uint64_t offset, std::span<const int8_t> bytes) override;
  StatusOr<core::Digest> DigestOf(uint64_t offset, uint64_t size) override;
  StatusOr<std::vector<int8_t>> Snapshot() override { return first().Snapshot(); }
  Status Restore(uint32_t step, std::span<const int8_t> weights) override;
  StatusOr<std::vector<int8_t>> Logits(uint8_t token, RecurrentState& state) override {
    return first().Logits(token, state);
  }

 private:
  Replica& first() const { return members_->first(); }
  // OK if all are; else the first that failed by itself rather than being stopped, named.
  Status Verdict(std::span<const GangOutcome> outcomes) const;
  // Does a task that changes the members.
  Status Change(const GangTask& task);

  const std::unique_ptr<GangMembers> members_;
  // Why the members differ, after a change that only some of them made; OK if they do not.
  Status torn_;
};

Status GangReplica::Verdict(std::span<const GangOutcome> outcomes) const {
  const GangOutcome* failed = nullptr;
  size_t member = 0;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const StatusCode code = outcomes[i].status.code();
    if (code == StatusCode::kOk) continue;
    if (failed != nullptr &&
        (failed->status.code() != StatusCode::kCancelled || code == StatusCode::kCancelled))
      continue;
    failed = &outcomes[i];
    member = i;
  }
  if (failed == nullptr) return {};
  if (failed->status.code() == StatusCode::kCancelled) return failed->status;
  return {failed->status.code(), members_->Name(static_cast<uint32_t>(member)) +
                                     " of the gang: " + failed->status.message()};
}

Status GangReplica::Evaluate(Shard shard, std::stop_token stop, std::span<int32_t> scores) {
  HATCHERY_RETURN_IF_ERROR(torn_);
  // The first member says what is wrong with what cannot be split.
  if (shard.begin >= shard.end || scores.size() != 2 * size_t{shard.pairs()})
    return first().Evaluate(shard, std::move(stop), scores);
  GangTask task{.op = GangOp::kEvaluate, .begin = shard.begin, .end = shard.end};
  return Verdict(members_->Do(task, std::move(stop), scores));
}

StatusOr<HeldOutSums> GangReplica::Validate(uint32_t begin, uint32_t end, std::stop_token stop) {
  HATCHERY_RETURN_IF_ERROR(torn_);
  if (begin >= end) return first().Validate(begin, end, std::move(stop));
  const auto outcomes =
      members_->Do({.op = GangOp::kValidate, .begin = begin, .end = end}, std::move(stop), {});
  HATCHERY_RETURN_IF_ERROR(Verdict(outcomes));
  HeldOutSums total;
  for (const GangOutcome& outcome : outcomes) total += outcome.sums;
  return total;
}

Status GangReplica::Apply(const Commit& commit) {
  HATCHERY_RETURN_IF_ERROR(torn_);
  return Change({.op = GangOp::kApply, .commit = &commit});
}

Status GangReplica::Install(uint64_t offset, std::span<const int8_t> bytes) {
  HATCHERY_RETURN_IF_ERROR(torn_);
  return Change(
      {.op = GangOp::kInstall, .begin = offset, .end = offset + bytes.size(), .bytes = bytes});
}

Status GangReplica::Restore(uint32_t step, std::span<const int8_t> weights) {
  torn_ = {};
  return Change({.op = GangOp::kRestore, .step = step, .bytes = weights});
}

Status GangReplica::Change(const GangTask& task) {
  const auto outcomes = members_->Do(task, {}, {});
  const Status verdict = Verdict(outcomes);
  const bool some = std::any_of(outcomes.begin(), outcomes.end(),
                                [](const GangOutcome& o) { return o.status.ok(); });
  if (!verdict.ok() && some)
    torn_ = FailedPrecondition("the members of the gang differ since this: " + verdict.message());
  return verdict;
}

StatusOr<core::Digest> GangReplica::DigestOf(uint64_t offset, uint64_t size) {
  HATCHERY_RETURN_IF_ERROR(torn_);
  const auto outcomes =
      members_->Do({.op = GangOp::kDigest, .begin = offset, .end = offset + size}, {}, {});
  HATCHERY_RETURN_IF_ERROR(Verdict(outcomes));
  for (uint32_t i = 1; i < outcomes.size(); ++i)
    if (!(outcomes[i].digest == outcomes[0].digest))
      return DataLoss("at step " + std::to_string(step()) + " " + members_->Name(i) +
                      " of the gang has digest " + FormatDigest(outcomes[i].digest) + ", but " +
                      members_->Name(0) + " has " + FormatDigest(outcomes[0].digest) +
                      "; one of them computes wrongly: test both and leave it out");
  return outcomes[0].digest;
}

GangOutcome Outcome(Status status) { return {std::move(status), {}, {}}; }

}  // namespace

GangPart PartOf(uint64_t begin, uint64_t end, uint32_t part, uint32_t parts) {
  const uint64_t size = (end - begin) / parts, longer = (end - begin) % parts;
  const uint64_t first = begin + part * size + std::min<uint64_t>(part, longer);
  return {static_cast<uint32_t>(first), static_cast<uint32_t>(first + size + (part < longer))};
}

GangOutcome DoShare(Replica& replica, const GangTask& task, uint32_t member, uint32_t members,
                    std::stop_token stop, std::span<int32_t> scores) {
  switch (task.op) {
    case GangOp::kEvaluate: {
      const GangPart part = PartOf(task.begin, task.end, member, members);
      if (part.size() == 0) return {};
      return Outcome(replica.Evaluate({part.begin, part.end}, std::move(stop), scores));
    }
    case GangOp::kValidate: {
      const GangPart part = PartOf(task.begin, task.end, member, members);
      if (part.size() == 0) return {};
      const auto sums = replica.Validate(part.begin, part.end, std::move(stop));
      return sums.ok() ? GangOutcome{{}, *sums, {}} : Outcome(sums.status());
    }
    case GangOp::kDigest: {
      const auto digest = replica.DigestOf(task.begin, task.end - task.begin);
      return digest.ok() ? GangOutcome{{}, {}, *digest} : Outcome(digest.status());
    }
    case GangOp::kApply:
      return Outcome(replica.Apply(*task.commit));
    case GangOp::kInstall:
      return Outcome(replica.Install(task.begin, task.bytes));
    case GangOp::kRestore:
      return Outcome(replica.Restore(task.step, task.bytes));
  }
  return Outcome(InternalError("a gang's member was asked for an operation that it does not know"));
}

std::unique_ptr<Replica> GangOf(std::unique_ptr<GangMembers> members) {
  return std::make_unique<GangReplica>(std::move(members));
}

StatusOr<std::vector<int>> ParseDevices(const std::string& text) {
  std::vector<int> devices;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string word = text.substr(at, end - at);
    int device = -1;
    const auto [last, error] = std::from_chars(word.data(), word.data() + word.size(), device);
    if (error != std::errc() || last != word.data() + word.size() || device < 0)
      return InvalidArgument("--devices " + text + ": '" + word +
                             "' is not the number of a device; write them as 0,1");
    if (std::find(devices.begin(), devices.end(), device) != devices.end())
      return InvalidArgument("--devices " + text + " names device " + word + " twice");
    devices.push_back(device);
    at = end + 1;
  }
  return devices;
}

std::string JoinDescriptions(std::span<const std::string> descriptions) {
  constexpr size_t kInFull = 4;
  if (descriptions.size() > kInFull)
    return descriptions[0] + " + " + std::to_string(descriptions.size() - 1) + " more";
  std::string joined;
  for (const std::string& description : descriptions)
    joined += (joined.empty() ? "" : " + ") + description;
  return joined;
}

}  // namespace hatchery

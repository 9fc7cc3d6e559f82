// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What rank 0 of a gang does: it gives the commands, and makes of the ranks one Replica.
#include <algorithm>
#include <cstddef>
#include <utility>

#include "services/gang/mpi_gang.h"

namespace hatchery {
namespace {

std::string RankName(uint32_t rank, const std::string& description) {
  return "rank " + std::to_string(rank) + ", " + description + ",";
}

}  // namespace

// The ranks' members of one replica.
class RankMembers : public GangMembers {
 public:
  RankMembers(MpiGang& gang, uint32_t id, std::vector<std::string> descriptions)
      : gang_(gang), id_(id), descriptions_(std::move(descriptions)) {}
  ~RankMembers() override {
    const auto drop = [this](std::stop_token) {
      gang_.members_.erase(id_);
      return RankReply();
    };
    (void)gang_.Command({.verb = RankVerb::kDestroy, .replica = id_}, {}, drop, {});
  }

  uint32_t size() const override { return gang_.link_->size(); }
  Replica& first() override { return *gang_.members_.at(id_).replica; }
  std::string Name(uint32_t member) const override {
    return RankName(member, descriptions_[member]);
  }
  std::string Description() const override {
    return JoinDescriptions(descriptions_) + ", " + std::to_string(size()) + " ranks, scores by " +
           gang_.exchange_;
  }
  std::vector<GangOutcome> Do(const GangTask& task, std::stop_token stop,
                              std::span<int32_t> scores) override {
    return gang_.Do(id_, task, std::move(stop), scores);
  }

 private:
  MpiGang& gang_;
  const uint32_t id_;
  const std::vector<std::string> descriptions_;
};

ReplicaFactory MpiGang::Factory() {
  return [this](const JobSpec& spec, DataView data) { return Create(spec, data); };
}

StatusOr<std::unique_ptr<Replica>> MpiGang::Create(const JobSpec& spec, DataView data) {
  const uint32_t id = ++last_id_;
  const auto replies = Command({.verb = RankVerb::kCreate, .replica = id, .spec = spec},
                               {std::as_bytes(data.train), std::as_bytes(data.held_out)},
                               [&](std::stop_token) { return Make(id, spec, data); }, {});
  if (!replies.ok()) return Lost();
  std::vector<std::string> descriptions;
  Status failed;
  for (uint32_t i = 0; i < replies->size(); ++i) {
    const RankReply& reply = (*replies)[i];
    descriptions.push_back(reply.text);
    if (reply.code == StatusCode::kOk || !failed.ok()) continue;
    failed = {reply.code, i == 0 ? reply.text : "rank " + std::to_string(i) + ": " + reply.text};
  }
  // Destroys what was made if this does not go on to return it.
  auto members = std::make_unique<RankMembers>(*this, id, std::move(descriptions));
  HATCHERY_RETURN_IF_ERROR(failed);
  if (!ChooseExchange(*replies).ok()) return Lost();
  return GangOf(std::move(members));
}

std::vector<GangOutcome> MpiGang::Do(uint32_t id, const GangTask& task, std::stop_token stop,
                                     std::span<int32_t> scores) {
  RankCommand command{.verb = RankVerb::kTask,
                      .replica = id,
                      .op = task.op,
                      .step = task.step,
                      .begin = task.begin,
                      .end = task.end};
  Payload payload = {std::as_bytes(task.bytes), {}};
  if (task.commit != nullptr) {
    command.step = task.commit->step;
    command.encoding = task.commit->encoding;
    command.alpha = task.commit->alpha;
    command.z_score = task.commit->z_score;
    payload[0] = std::as_bytes(std::span(task.commit->fitness));
  }
  const auto replies = Command(
      command, payload, [&](std::stop_token own) { return DoOwn(id, task, own); }, stop);
  if (!replies.ok()) return LostOutcomes();
  std::vector<GangOutcome> outcomes;
  bool all_ok = true;
  for (const RankReply& reply : *replies) {
    outcomes.push_back({{reply.code, reply.text}, reply.sums, reply.digest});
    all_ok &= reply.code == StatusCode::kOk;
  }
  if (task.op != GangOp::kEvaluate || !all_ok) return outcomes;
  if (!GatherScores(task.end - task.begin).ok()) return LostOutcomes();
  for (uint32_t i = 0; i < link_->size(); ++i) {
    const GangPart part = PartOf(task.begin, task.end, i, link_->size());
    std::copy_n(gathered_.begin() + static_cast<ptrdiff_t>(i * scores_.size()),
                2 * size_t{part.size()},
                scores.begin() + static_cast<ptrdiff_t>(2 * (part.begin - task.begin)));
  }
  return outcomes;
}

StatusOr<MpiGang::Replies> MpiGang::Command(RankCommand command, const Payload& payload,
                                            const Share& share, std::stop_token stop) {
  command.sequence = ++sequence_;
  for (size_t i = 0; i < payload.size(); ++i) command.payload_bytes[i] = payload[i].size();
  HATCHERY_RETURN_IF_ERROR(link_->Broadcast(std::as_writable_bytes(std::span(&command, 1))));
  for (const auto part : payload)  // a broadcast only reads them here, where it starts
    HATCHERY_RETURN_IF_ERROR(link_->Broadcast({const_cast<std::byte*>(part.data()), part.size()}));
  return ShareAndGather(share, std::move(stop));
}

std::vector<GangOutcome> MpiGang::LostOutcomes() {
  std::vector<GangOutcome> outcomes(link_->size());
  for (GangOutcome& outcome : outcomes) outcome.status = Cancelled("a rank of the gang has ended");
  outcomes[link_->lost_rank()].status = link_->lost();
  (void)Lost();
  return outcomes;
}

Status MpiGang::Lost() {
  if (hear_) std::exchange(hear_, nullptr)(lost());
  return lost();
}

Status MpiGang::lost() const {
  if (link_->lost().ok()) return {};
  return {link_->lost().code(), "rank " + std::to_string(link_->lost_rank()) +
                                    " of the gang: " + link_->lost().message()};
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The gang itself: every rank holds one member of each of its replicas, and they work in step.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/gang.h"
#include "kernels/work_thread.h"
#include "services/gang/gang.h"
#include "services/gang/mpi_link.h"
#include "services/gang/nccl_link.h"
#include "services/gang/rank_protocol.h"

namespace hatchery {

class MpiGang : public Gang {
 public:
  MpiGang(std::unique_ptr<MpiLink> link, StatusOr<BackendOptions> backend);
  ~MpiGang() override;

  uint32_t rank() const override { return link_->rank(); }
  ReplicaFactory Factory() override;
  void Follow() override;
  Status lost() const override;
  void OnLost(std::function<void(const Status&)> hear) override { hear_ = std::move(hear); }

 private:
  friend class RankMembers;
  using Replies = std::vector<RankReply>;  // of all ranks, in order
  using Payload = std::array<std::span<const std::byte>, 2>;
  using Share = std::function<RankReply(std::stop_token)>;
  // This rank's member of a replica.
  struct Member {
    std::vector<uint8_t> bytes;  // of the data, except at rank 0, where the caller holds it
    std::unique_ptr<Replica> replica;
  };

  // Rank 0.
  StatusOr<std::unique_ptr<Replica>> Create(const JobSpec& spec, DataView data);
  std::vector<GangOutcome> Do(uint32_t id, const GangTask& task, std::stop_token stop,
                              std::span<int32_t> scores);
  StatusOr<Replies> Command(RankCommand command, const Payload& payload, const Share& share,
                            std::stop_token stop);
  std::vector<GangOutcome> LostOutcomes();
  // Tells whoever wants to hear that the gang is lost; returns why.
  Status Lost();

  // Other ranks.
  Status FollowOne(bool& quit);
  RankReply Obey(const RankCommand& command, std::vector<uint8_t> payload, std::stop_token stop);
  RankReply ObeyTask(const RankCommand& command, std::span<const uint8_t> payload,
                     std::stop_token stop);

  // All ranks, for the same command.
  RankReply Make(uint32_t id, const JobSpec& spec, DataView data);
  RankReply DoOwn(uint32_t id, const GangTask& task, std::stop_token stop);
  // Does this rank's share on the work thread, and gathers replies. All ranks stop theirs at
  // `stop`, which is rank 0's, or when one of them fails.
  StatusOr<Replies> ShareAndGather(const Share& share, std::stop_token stop);
  // After a kCreate that worked everywhere: NCCL, if every rank is on a GPU and it starts.
  Status ChooseExchange(const Replies& replies);
  Status OpenNccl();
  // After a kEvaluate that worked everywhere: all ranks' scores_ into gathered_.
  Status GatherScores(uint64_t pairs);

  std::unique_ptr<MpiLink> link_;
  StatusOr<BackendOptions> backend_;  // of this rank, or why it has none
  std::function<void(const Status&)> hear_;
  WorkThread worker_;
  std::map<uint32_t, Member> members_;
  uint32_t last_id_ = 0, sequence_ = 0;
  bool exchange_chosen_ = false;
  std::unique_ptr<NcclLink> nccl_;          // null: scores travel by MPI
  std::string exchange_ = "MPI";            // for people
  std::vector<int32_t> scores_, gathered_;  // of one rank, of all; equal parts, the rest unused
};

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What every rank of a gang does, and what those that follow do.
#include "services/gang/mpi_gang.h"

#include <algorithm>
#include <utility>

#include "services/gang/launch.h"

namespace hatchery {
namespace {

constexpr std::chrono::milliseconds kLookEvery{1};  // for a stop request, while a share is done

template <typename T>
std::span<std::byte> BytesOf(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

RankReply ReplyOf(const Status& status) {
  RankReply reply;
  reply.code = status.code();
  reply.SetText(status.message());
  return reply;
}

bool AllOk(std::span<const RankReply> replies) {
  return std::all_of(replies.begin(), replies.end(),
                     [](const RankReply& r) { return r.code == StatusCode::kOk; });
}

#if HATCHERY_HAS_NCCL
// Why the others gave up too: the first that failed by itself.
std::string WhyFailed(std::span<const RankReply> replies) {
  for (size_t rank = 0; rank < replies.size(); ++rank)
    if (replies[rank].code != StatusCode::kOk && replies[rank].code != StatusCode::kCancelled)
      return "rank " + std::to_string(rank) + ": " + replies[rank].text;
  return "stopped";
}
#endif

}  // namespace

StatusOr<std::unique_ptr<Gang>> Gang::Join(const BackendOptions& options) {
  if (RanksLaunched() <= 1) return std::unique_ptr<Gang>();
  // A rank without a backend says so when it is asked for a replica, so that rank 0 hears it.
  const auto devices = ChooseDevices(options);
  HATCHERY_ASSIGN_OR_RETURN(
      auto link, MpiLink::Open(devices.ok() ? IdsOf(*devices) : std::vector<DeviceId>()));
  auto backend = BackendOfRank(options, link->place());
  return std::unique_ptr<Gang>(std::make_unique<MpiGang>(std::move(link), std::move(backend)));
}

MpiGang::MpiGang(std::unique_ptr<MpiLink> link, StatusOr<BackendOptions> backend)
    : link_(std::move(link)), backend_(std::move(backend)) {}

MpiGang::~MpiGang() {
  if (rank() == 0) (void)Command({.verb = RankVerb::kQuit}, {}, {}, {});
  // On the thread that made them.
  worker_.Start([this] { members_.clear(); });
  worker_.Wait();
}

void MpiGang::Follow() {
  bool quit = false;
  while (!quit && FollowOne(quit).ok()) continue;
}

Status MpiGang::FollowOne(bool& quit) {
  RankCommand command;
  HATCHERY_RETURN_IF_ERROR(link_->Broadcast(BytesOf(command)));
  std::vector<uint8_t> payload(command.payload_bytes[0] + command.payload_bytes[1]);
  const auto bytes = std::as_writable_bytes(std::span(payload));
  HATCHERY_RETURN_IF_ERROR(link_->Broadcast(bytes.first(command.payload_bytes[0])));
  HATCHERY_RETURN_IF_ERROR(link_->Broadcast(bytes.subspan(command.payload_bytes[0])));
  sequence_ = command.sequence;
  HATCHERY_ASSIGN_OR_RETURN(
      const Replies replies,
      ShareAndGather(
          [&](std::stop_token stop) { return Obey(command, std::move(payload), std::move(stop)); },
          {}));
  quit = command.verb == RankVerb::kQuit;
  if (!AllOk(replies)) return {};
  if (command.verb == RankVerb::kCreate) return ChooseExchange(replies);
  if (command.verb == RankVerb::kTask && command.op == GangOp::kEvaluate)
    return GatherScores(command.end - command.begin);
  return {};
}

RankReply MpiGang::Obey(const RankCommand& command, std::vector<uint8_t> payload,
                        std::stop_token stop) {
  switch (command.verb) {
    case RankVerb::kCreate: {
      std::vector<uint8_t>& bytes = members_[command.replica].bytes;
      bytes = std::move(payload);
      const std::span<const uint8_t> all(bytes);
      const size_t train = command.payload_bytes[0];
      return Make(command.replica, command.spec, {all.first(train), all.subspan(train)});
    }
    case RankVerb::kDestroy:
      members_.erase(command.replica);
      return {};
    case RankVerb::kTask:
      return ObeyTask(command, payload, std::move(stop));
    case RankVerb::kQuit:
      return {};
  }
  return ReplyOf(InternalError("rank 0 said what this rank does not know"));
}

RankReply MpiGang::ObeyTask(const RankCommand& command, std::span<const uint8_t> payload,
                            std::stop_token stop) {
  Commit commit;
  commit.step = command.step;
  commit.encoding = command.encoding;
  commit.alpha = command.alpha;
  commit.z_score = command.z_score;
  GangTask task{.op = command.op, .begin = command.begin, .end = command.end, .step = command.step};
  if (command.op == GangOp::kApply) {
    commit.fitness.assign(payload.begin(), payload.end());
    task.commit = &commit;
  } else {
    task.bytes = {reinterpret_cast<const int8_t*>(payload.data()), payload.size()};
  }
  return DoOwn(command.replica, task, std::move(stop));
}

RankReply MpiGang::Make(uint32_t id, const JobSpec& spec, DataView data) {
  if (!backend_.ok()) return ReplyOf(backend_.status());
  auto made = CreateReplica(spec, data, *backend_);
  if (!made.ok()) return ReplyOf(made.status());
  RankReply reply;
  reply.on_gpu = !backend_->devices.empty();
  reply.SetText((*made)->Description());
  members_[id].replica = std::move(*made);
  return reply;
}

RankReply MpiGang::DoOwn(uint32_t id, const GangTask& task, std::stop_token stop) {
  std::span<int32_t> own;
  if (task.op == GangOp::kEvaluate) {
    scores_.resize(2 * size_t{PartOf(task.begin, task.end, 0, link_->size()).size()});
    own = std::span(scores_).first(
        2 * size_t{PartOf(task.begin, task.end, rank(), link_->size()).size()});
  }
  const GangOutcome outcome =
      DoShare(*members_[id].replica, task, rank(), link_->size(), std::move(stop), own);
  RankReply reply = ReplyOf(outcome.status);
  reply.sums = outcome.sums;
  reply.digest = outcome.digest;
  return reply;
}

StatusOr<MpiGang::Replies> MpiGang::ShareAndGather(const Share& share, std::stop_token stop) {
  RankReply mine;
  std::stop_source own;
  bool given_up = false;
  // Whoever fails tells rank 0, which tells all: else they might wait for that rank for ever.
  const auto look = [&](bool failed) {
    if (!link_->CheckPeers().ok()) own.request_stop();
    if (given_up) return;
    const bool first = failed || stop.stop_requested();
    given_up = first || link_->GiveUpCame(sequence_);
    if (!given_up) return;
    own.request_stop();
    if (first || rank() == 0) link_->SendGiveUp(sequence_);
  };
  if (share) {
    worker_.Start([&] { mine = share(own.get_token()); });
    while (!worker_.WaitFor(kLookEvery)) look(false);
  }
  Replies replies(link_->size());
  HATCHERY_RETURN_IF_ERROR(link_->AllGather(BytesOf(mine),
                                            std::as_writable_bytes(std::span(replies)),
                                            [&] { look(mine.code != StatusCode::kOk); }));
  return replies;
}

Status MpiGang::ChooseExchange(const Replies& replies) {
  if (std::exchange(exchange_chosen_, true)) return {};
#if HATCHERY_HAS_NCCL
  if (std::all_of(replies.begin(), replies.end(), [](const RankReply& r) { return r.on_gpu; }))
    return OpenNccl();
#else
  (void)replies;
#endif
  return {};
}

#if HATCHERY_HAS_NCCL
Status MpiGang::OpenNccl() {
  struct {
    NcclLink::Id id = {};
    bool made = false;
  } invitation;
  Status failed = InternalError("rank 0 could not start NCCL");
  if (rank() == 0) {
    const auto id = NcclLink::MakeId();
    invitation.made = id.ok();
    if (id.ok()) invitation.id = *id;
    failed = id.status();
  }
  HATCHERY_RETURN_IF_ERROR(link_->Broadcast(BytesOf(invitation)));
  const auto open = [&](std::stop_token stop) {
    if (!invitation.made) return ReplyOf(failed);
    auto opened = NcclLink::Open(invitation.id, rank(), link_->size(), std::stoi(backend_->devices),
                                 std::move(stop));
    if (!opened.ok()) return ReplyOf(opened.status());
    nccl_ = std::move(*opened);
    return RankReply();
  };
  HATCHERY_ASSIGN_OR_RETURN(const Replies replies, ShareAndGather(open, {}));
  exchange_ = "NCCL";
  if (AllOk(replies)) return {};
  nccl_.reset();
  exchange_ = "MPI (" + WhyFailed(replies) + ")";
  return {};
}
#endif

Status MpiGang::GatherScores(uint64_t pairs) {
  scores_.resize(2 * size_t{PartOf(0, pairs, 0, link_->size()).size()});
  gathered_.resize(scores_.size() * link_->size());
#if HATCHERY_HAS_NCCL
  if (nccl_) {
    const Status gathered =
        nccl_->AllGather(scores_, gathered_, [this] { return link_->CheckPeers(); });
    // The other ranks may have got theirs: nobody knows what they will do next.
    if (!gathered.ok()) link_->Fail(gathered);
    return gathered;
  }
#endif
  return link_->AllGather(std::as_bytes(std::span(scores_)),
                          std::as_writable_bytes(std::span(gathered_)));
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/coordinator/fake_world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "kernels/core/version.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/protocol.h"

namespace hatchery::coordinator {
namespace {

int32_t Score(uint32_t step, uint32_t member) {
  return -static_cast<int32_t>((step * 7919u + member * 104729u) % 1009u) - 1;
}

std::string DigestOf(const FakeWorker& worker) {
  return FakeWorld::DigestAt(worker.step >= worker.wrong_from ? worker.step + 100 : worker.step);
}

}  // namespace

FakeWorld::FakeWorld(CoreOptions options) : core(std::move(options)) {}

std::string FakeWorld::DigestAt(uint32_t step) {
  return DigestToBytes(core::Digest{step + 1u, ~uint64_t{step}});
}

v1::Job FakeWorld::MakeJob(uint32_t steps, uint32_t population) {
  v1::Job job = DefaultJob();
  job.set_name("test");
  job.set_population(population);
  job.set_steps(steps);
  job.set_validate_every(2);
  job.set_checkpoint_every(3);
  job.set_held_out_streams(10);
  job.mutable_train()->set_end(10'000);
  job.mutable_held_out()->set_begin(10'000);
  job.mutable_held_out()->set_end(11'000);
  return job;
}

void FakeWorld::Submit(const std::string& id, const v1::Job& job) {
  JobRecord record;
  record.id = id;
  record.job = job;
  const auto spec = SpecFromJob(job);
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  record.spec = *spec;
  record.initial_digest = DigestAt(0);
  Do(core.JobSubmitted(now, record));
}

void FakeWorld::Join(const std::string& id, const std::string& name) {
  workers[id] = {};
  Do(core.WorkerConnected(now, id, 0));
  v1::WorkerMessage message;
  message.mutable_hello()->set_protocol_version(kProtocolVersion);
  message.mutable_hello()->set_contract_version(core::kContractVersion);
  message.mutable_hello()->set_name(name.empty() ? id : name);
  Say(id, message);
}

void FakeWorld::Leave(const std::string& id) {
  workers.erase(id);
  Do(core.WorkerDisconnected(now, id, "killed"));
}

void FakeWorld::Say(const std::string& id, const v1::WorkerMessage& message) {
  Do(core.WorkerSaid(now, id, message));
}

void FakeWorld::SayReady(const std::string& id, const FakeWorker& worker) {
  v1::WorkerMessage message;
  message.mutable_ready()->set_job_id(worker.job);
  message.mutable_ready()->set_step(worker.step);
  message.mutable_ready()->set_digest(DigestOf(worker));
  message.mutable_ready()->set_round_pairs(worker.round_pairs);
  Say(id, message);
}

void FakeWorld::Do(Core::Actions actions) {
  for (Action& action : actions) {
    if (auto* send = std::get_if<coordinator::Send>(&action)) {
      if (workers.contains(send->worker)) workers[send->worker].inbox.push_back(send->message);
    } else if (auto* close = std::get_if<CloseWorker>(&action)) {
      workers[close->worker].closed = true;
      workers[close->worker].close_status = close->status;
    } else if (auto* append = std::get_if<Append>(&action)) {
      appends.push_back(*append);
    } else if (auto* question = std::get_if<AskReferee>(&action)) {
      questions.push_back(*question);
    } else if (auto* struck = std::get_if<Struck>(&action)) {
      strikes[struck->name] = struck->count;
    } else if (auto* event = std::get_if<LogEvent>(&action)) {
      events.push_back(event->event);
      if (std::getenv("HATCHERY_TRACE") != nullptr)
        std::cerr << now << " " << event->event.worker_id() << " step " << event->event.step()
                  << ": " << event->event.kind() << ": " << event->event.message() << "\n";
    }
  }
}

void FakeWorld::Sync() {
  while (!appends.empty()) {
    const Append append = appends.front();
    appends.pop_front();
    if (disk_full) {
      Do(core.AppendFailed(now, append.job, ResourceExhausted("the disk is full")));
      continue;
    }
    if (const auto* commit = std::get_if<CommitRecord>(&append.record)) {
      ASSERT_EQ(commit->commit.step, commits[append.job].size());
      commits[append.job].push_back(*commit);
    } else {
      closings[append.job] = std::get<ClosingRecord>(append.record);
    }
    Do(core.Appended(now, append.job));
  }
}

void FakeWorld::Judge() {
  for (; !questions.empty(); questions.pop_front()) {
    const AskReferee& question = questions.front();
    Finding finding;
    finding.digest = DigestAt(question.step);
    finding.checkpoint_sha256 = FileHash(finding.digest);
    if (question.range && question.range->held_out) {
      const Shard streams = question.range->shard;
      finding.part.end = streams.end;
      finding.part.sums = HeldOutFromProto(HeldOutFor(streams.pairs(), false));
    } else if (question.range) {
      v1::Lease lease;
      lease.set_job_id(question.job);
      lease.set_step(question.step);
      lease.mutable_pairs()->set_begin(question.range->shard.begin);
      lease.mutable_pairs()->set_end(question.range->shard.end);
      const v1::ShardScores scores = ScoresFor(lease, false);
      finding.part = {scores.end(),
                      scores.trits(),
                      {scores.scores().begin(), scores.scores().end()},
                      scores.score_sum(),
                      {}};
    }
    Do(core.RefereeSaid(
        now, question.job, question.step, question.range,
        referee_status.ok() ? StatusOr<Finding>(finding) : StatusOr<Finding>(referee_status)));
  }
  for (size_t waiting = offers.size(); waiting > 0; --waiting) {
    const Offer offer = offers.front();
    offers.pop_front();
    switch (core.CheckpointBelief(offer.job, offer.step, offer.sha256)) {
      case Core::Belief::kOpen:
        offers.push_back(offer);
        break;
      case Core::Belief::kBelieved:
        checkpoints[offer.job].push_back(offer.step);
        Do(core.CheckpointStored(now, offer.job, offer.step));
        break;
      case Core::Belief::kRefuted:
        Do(core.CheckpointFailed(now, offer.job, offer.step, offer.sha256, DataLoss("refuted")));
        break;
      case Core::Belief::kNotWanted:
        break;
    }
  }
}

v1::ShardScores FakeWorld::ScoresFor(const v1::Lease& lease, bool lie) const {
  std::vector<int32_t> values;
  const Shard shard{lease.pairs().begin(), lease.pairs().end()};
  for (uint32_t m = 2 * shard.begin; m < 2 * shard.end; ++m)
    values.push_back(Score(lease.step(), m));
  if (lie) std::swap(values[0], values[1]);
  return ScoresToProto(*SpecFromJob(core.Job(lease.job_id())->job()), shard, values);
}

v1::HeldOutSums FakeWorld::HeldOutFor(uint32_t streams, bool lie) {
  v1::HeldOutSums sums;
  sums.set_tokens(uint64_t{streams} * 99);
  sums.set_score(-int64_t{streams} * 1000 + lie);
  return sums;
}

v1::WorkerMessage FakeWorld::ResultFor(const FakeWorker& worker, const v1::Lease& lease) const {
  v1::WorkerMessage message;
  v1::Result& result = *message.mutable_result();
  result.set_job_id(lease.job_id());
  result.set_step(lease.step());
  result.set_lease_id(lease.lease_id());
  result.set_digest(DigestOf(worker));
  const uint32_t pairs = lease.pairs().end() - lease.pairs().begin();
  result.set_seconds(0.01 + pairs * worker.pair_seconds);
  const bool lie =
      lease.step() >= worker.lies_from && lease.has_held_out() == worker.lies_of_held_out;
  if (lease.has_held_out())
    *result.mutable_held_out() = HeldOutFor(lease.held_out().end() - lease.held_out().begin(), lie);
  else
    *result.mutable_scores() = ScoresFor(lease, lie);
  return message;
}

bool FakeWorld::Work(const std::string& id) {
  const auto at = workers.find(id);
  if (at == workers.end() || at->second.closed || at->second.inbox.empty()) return false;
  FakeWorker& worker = at->second;
  const v1::CoordinatorMessage message = worker.inbox.front();
  worker.inbox.pop_front();
  v1::WorkerMessage reply;
  if (message.has_assign()) {
    if (message.assign().reload()) {
      ++worker.reloads;
      worker.wrong_from = UINT32_MAX;
    }
    std::erase_if(worker.inbox, [](const auto& m) { return m.has_lease() || m.has_commit(); });
    worker.step = core.Job(message.assign().job_id())->step();
    worker.job = message.assign().job_id();
    SayReady(id, worker);
  } else if (message.has_release()) {
    worker.job.clear();
  } else if (message.has_commit()) {
    worker.order.push_back("commit " + std::to_string(message.commit().step()));
    // Durable before announced.
    bool durable = false;
    for (const auto& [job, records] : commits) durable |= records.size() > message.commit().step();
    EXPECT_TRUE(durable);
    if (message.commit().step() == worker.step) {
      ++worker.step;
      if (!worker.stuck) SayReady(id, worker);
    }
  } else if (message.has_lease()) {
    if (worker.stuck) {
      worker.held.push_back(message.lease());
    } else if (message.lease().step() == worker.step) {
      ++worker.results;
      worker.worked.push_back(message.lease());
      Say(id, ResultFor(worker, message.lease()));
    }
  } else if (message.has_checkpoint_request()) {
    const v1::CheckpointRequest& request = message.checkpoint_request();
    EXPECT_EQ(request.step(), worker.step);
    const std::string hash = FileHash(DigestOf(worker));
    if (request.hash_only()) {
      reply.mutable_checkpoint_hash()->set_job_id(request.job_id());
      reply.mutable_checkpoint_hash()->set_step(request.step());
      reply.mutable_checkpoint_hash()->set_sha256(hash);
      Say(id, reply);
    } else {
      worker.ticket = request.ticket();
      worker.order.push_back("checkpoint " + std::to_string(request.step()));
      offers.push_back({request.job_id(), request.step(), hash});
      Do(core.CheckpointOffered(now, request.job_id(), request.step(), request.ticket(),
                                DigestOf(worker), hash));
    }
  }
  return true;
}

void FakeWorld::RunToEnd(int64_t tick, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::string> ids;
    for (const auto& [id, worker] : workers) ids.push_back(id);
    if (reverse) std::reverse(ids.begin(), ids.end());
    for (const std::string& id : ids) {
      Work(id);
      v1::WorkerMessage heartbeat;
      heartbeat.mutable_heartbeat()->set_job_id(workers[id].job);
      if (!workers[id].closed) Say(id, heartbeat);
    }
    if (auto_sync) Sync();
    Judge();
    now += tick;
    Do(core.Tick(now));
    const auto jobs = core.Jobs();
    if (std::all_of(jobs.begin(), jobs.end(), [](const auto& job) {
          return job.state() == v1::JobState::FINISHED || job.state() == v1::JobState::CANCELLED ||
                 job.state() == v1::JobState::PAUSED;
        }))
      return;
  }
}

bool FakeWorld::Has(const std::string& kind) const {
  return std::any_of(events.begin(), events.end(),
                     [&](const v1::Event& event) { return event.kind() == kind; });
}

void RunToStep(FakeWorld& world, const std::string& job, uint32_t step) {
  for (int i = 0; i < 5000 && world.core.Job(job)->step() < step; ++i) world.RunToEnd(10, 1);
  ASSERT_GE(world.core.Job(job)->step(), step);
}

void StartJob(FakeWorld& world, uint32_t steps, const std::vector<std::string>& workers,
              uint32_t step) {
  world.Submit("a", FakeWorld::MakeJob(steps));
  for (const std::string& id : workers) world.Join(id);
  RunToStep(world, "a", step);
}

std::vector<CommitRecord> Honest(uint32_t steps) {
  FakeWorld world;
  world.Submit("a", FakeWorld::MakeJob(steps));
  world.Join("w");
  world.RunToEnd();
  return world.commits["a"];
}

}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/world.h"

#include <algorithm>
#include <utility>

#include "services/common/run_check.h"
#include "tests/simulation/sim_coordinator.h"
#include "tests/simulation/sim_worker.h"

namespace hatchery::simulation {
namespace {

constexpr int64_t kGiveUp = 6 * 3'600'000;  // simulated milliseconds
constexpr uint64_t kMostEvents = 3'000'000;
// A stream over a network that has been cut for so long is given up by its keep-alive.
constexpr int64_t kKeepAlive = 20'000;

}  // namespace

World::World(const Plan& given, Lab& with, const std::string& where, Bug mistake,
             std::ostream* trace)
    : random(given.seed),
      disk(given.seed + 1),
      lab(with),
      plan(given),
      directory(where),
      bug(mistake),
      trace_(trace),
      cut_to_(given.workers),
      cut_from_(given.workers),
      streams_(given.workers) {
  for (uint32_t i = 0; i < plan.workers; ++i)
    workers_.push_back(std::make_unique<SimWorker>(*this, i));
}

World::~World() = default;

void World::After(int64_t milliseconds, std::function<void()> run) {
  events_.push({now_ + std::max<int64_t>(0, milliseconds), order_++, std::move(run)});
}

void World::Trace(const std::string& line) {
  if (trace_ != nullptr) *trace_ << now_ << " ms  " << line << "\n";
}

void World::Fail(const std::string& what) {
  if (lie_stands_) return;
  Trace("FAILURE: " + what);
  if (outcome_.failure.empty()) outcome_.failure = what;
}

void World::LieStands(uint32_t step) {
  Trace("a lie about step " + std::to_string(step) + " stands: nobody was there to see it");
  Saw("lie_stands");
  finished_ = lie_stands_ = true;
}

Outcome World::Run() {
  disk.lying = bug == Bug::kLostSync;
  disk.names_unsynced = bug == Bug::kLostName;
  disk.rewrites_lost = bug == Bug::kLostRewrite;
  StartCoordinator();
  for (uint32_t i = 0; i < plan.workers; ++i)
    After(plan.joins[i], [this, i] { workers_[i]->Start(); });
  for (const Fault& fault : plan.faults) After(fault.at, [this, fault] { Strike(fault); });
  After(500, [this] { Operate(); });
  for (uint64_t count = 0; outcome_.failure.empty() && !finished_; ++count) {
    if (now_ > kGiveUp || count > kMostEvents) {
      Fail("the job did not finish");
      break;
    }
    const Event event = events_.top();
    events_.pop();
    now_ = event.at;
    event.run();
  }
  if (outcome_.failure.empty() && !lie_stands_) CheckEnd();
  outcome_.milliseconds = now_;
  return outcome_;
}

// ---- The network -------------------------------------------------------------------------------

void World::OpenStream(uint32_t index) {
  auto stream = std::make_shared<Stream>();
  stream->worker = index;
  const int64_t delay = random.Between(1, 40);
  const bool cut = now_ < std::max(cut_to_[index], cut_from_[index]);
  if (coordinator_ == nullptr || cut) {
    After(cut ? random.Between(500, 5000) : delay,
          [this, index] { workers_[index]->Closed(nullptr, Unavailable("no connection")); });
    return;
  }
  streams_[index] = stream;
  After(delay, [this, stream, life = life_] {
    if (life != life_ || coordinator_ == nullptr)
      return workers_[stream->worker]->Closed(nullptr, Unavailable("connection refused"));
    coordinator_->Connected(stream);
    workers_[stream->worker]->Opened(stream);
  });
}

void World::Carry(const StreamPtr& stream, bool to_worker, bool may_repeat,
                  std::function<void()> deliver) {
  const bool hostile = plan.hostile_streams && may_repeat;
  int64_t at = now_ + (random.OneIn(40) ? random.Between(50, 1500) : random.Between(1, 15));
  int64_t& next = to_worker ? stream->next_to_worker : stream->next_to_coordinator;
  if (!hostile || !random.OneIn(8)) next = at = std::max(at, next);
  const auto arrive = [this, stream, to_worker, deliver = std::move(deliver)](auto& self) -> void {
    const int64_t until = (to_worker ? cut_to_ : cut_from_)[stream->worker];
    if (now_ < until) {  // it is sent again, in order, when the way is free
      After(until - now_ + 1, [self]() mutable { self(self); });
    } else if (to_worker ? stream->worker_open : stream->coordinator_open) {
      deliver();
    }
  };
  After(at - now_, [arrive]() mutable { arrive(arrive); });
  if (hostile && random.OneIn(12))
    After(at - now_ + random.Between(0, 300), [arrive]() mutable { arrive(arrive); });
}

void World::CloseAtWorker(const StreamPtr& stream, const Status& reason) {
  if (!stream->worker_open) return;
  stream->worker_open = false;
  workers_[stream->worker]->Closed(stream, reason);
}

void World::Call(uint32_t index, std::function<Status(SimCoordinator&)> serve,
                 std::function<void(Status)> done) {
  const auto cut = [this, index] { return now_ < std::max(cut_to_[index], cut_from_[index]); };
  After(random.Between(1, 30), [this, cut, serve = std::move(serve), done = std::move(done)] {
    if (coordinator_ == nullptr || cut())
      return After(cut() ? random.Between(1000, 20'000) : 1,
                   [done] { done(Unavailable("the coordinator does not answer")); });
    const Status status = serve(*coordinator_);
    After(random.Between(1, 30),
          [cut, status, done] { done(cut() ? Unavailable("the answer was lost") : status); });
  });
}

void World::Cut(const Fault& fault, bool to_worker, bool from_worker) {
  const auto until = [&](int64_t& cut) { cut = std::max(cut, now_ + fault.duration); };
  if (to_worker) until(cut_to_[fault.worker]);
  if (from_worker) until(cut_from_[fault.worker]);
  const StreamPtr stream = streams_[fault.worker];
  if (stream == nullptr || (fault.duration < kKeepAlive && !random.OneIn(3))) return;
  After(random.Between(0, kKeepAlive),
        [this, stream] { CloseAtWorker(stream, Unavailable("keep-alive")); });
  After(random.Between(0, 2 * kKeepAlive), [this, stream] {
    if (stream->coordinator_open && coordinator_ != nullptr)
      coordinator_->Disconnected(stream, "keep-alive");
  });
}

// ---- The coordinator's machine -----------------------------------------------------------------

void World::StartCoordinator() {
  if (coordinator_ != nullptr) return;
  ++life_;
  // Before it lives, nobody else is told of it: what it does while it starts is its own.
  auto started = SimCoordinator::Start(*this);
  if (!started.ok()) {
    Trace("the coordinator cannot start: " + started.status().message());
    return After(1000, [this] { StartCoordinator(); });
  }
  coordinator_ = std::move(*started);
  coordinator_->Begin();
}

void World::StopCoordinator(bool power_cut) {
  if (coordinator_ != nullptr) {
    coordinator_.reset();
    ++life_;
    for (const StreamPtr& stream : streams_) {
      if (stream == nullptr) continue;
      stream->coordinator_open = false;
      After(random.Between(1, 3000),
            [this, stream] { CloseAtWorker(stream, Unavailable("the stream was cut")); });
    }
  }
  if (!power_cut) return;
  disk.PowerCut();
  if (random.OneIn(2)) catalogue = catalogue_before;
  disk.lying = bug == Bug::kLostSync;
}

void World::Strike(const Fault& fault) {
  Trace("FAULT: " + Describe(fault));
  SimWorker& worker = *workers_[fault.worker];
  switch (fault.kind) {
    case FaultKind::kCrashWorker:
      return worker.Crash(fault.duration);
    case FaultKind::kStopWorker:
      return worker.Stop(fault.duration);
    case FaultKind::kFreezeWorker:
      return worker.Freeze(fault.duration);
    case FaultKind::kSlowWorker:
      return worker.Slow(fault.duration);
    case FaultKind::kHangWork:
      return worker.HangNext();
    case FaultKind::kFlipBit:
      return worker.FlipBit();
    case FaultKind::kClockJump:
      worker.JumpClock(fault.duration);
      if (coordinator_ != nullptr && random.OneIn(2)) coordinator_->JumpClock(fault.duration);
      return;
    case FaultKind::kPowerCut:
    case FaultKind::kCrashCoordinator:
      StopCoordinator(fault.kind == FaultKind::kPowerCut);
      return After(fault.duration, [this] { StartCoordinator(); });
    case FaultKind::kDiskFull:
      disk.full = true;
      return After(fault.duration, [this] { disk.full = false; });
    case FaultKind::kDiskFails:
      disk.failing = true;
      return After(fault.duration, [this] { disk.failing = false; });
    case FaultKind::kDiskLies:
      disk.lying = lied = true;
      return After(fault.duration, [this] {
        StopCoordinator(true);
        After(1000, [this] { StartCoordinator(); });
      });
    case FaultKind::kRotCheckpoint:
      disk.Rot("/checkpoints/");
      return;
    case FaultKind::kRotJournal:
      lied = disk.Rot("/journal.hatchery") || lied;
      StopCoordinator(false);
      return After(1000, [this] { StartCoordinator(); });
    case FaultKind::kPartition:
      return Cut(fault, true, true);
    case FaultKind::kCutToWorker:
      return Cut(fault, true, false);
    case FaultKind::kCutFromWorker:
      return Cut(fault, false, true);
    case FaultKind::kPauseJob:
      paused_until_ = now_ + fault.duration;
      if (coordinator_ != nullptr && coordinator_->Job()) (void)coordinator_->Pause();
      return;
    case FaultKind::kCancelJob:
      if (coordinator_ != nullptr && coordinator_->Job()) (void)coordinator_->Cancel();
      return;
  }
}

void World::Trouble(int64_t milliseconds) {
  if (!plan.trouble_while_storing || random.OneIn(2)) return;
  static constexpr FaultKind kKinds[] = {FaultKind::kPauseJob, FaultKind::kCancelJob,
                                         FaultKind::kCrashCoordinator, FaultKind::kPowerCut};
  Fault fault{kKinds[random.Between(0, std::ssize(kKinds) - 1)]};
  fault.at = now_ + random.Between(0, milliseconds);
  fault.duration = random.Between(10, 5'000);
  After(fault.at - now_, [this, fault] { Strike(fault); });
}

// ---- People ------------------------------------------------------------------------------------

// Somebody submits the job, anew if it was cancelled, resumes it when it is paused, and repairs a
// journal that the coordinator cannot use.
void World::Operate() {
  After(random.Between(200, 3000), [this] { Operate(); });
  if (coordinator_ == nullptr) return;
  const auto job = coordinator_->Job();
  if (!job || job->state() == v1::JobState::CANCELLED) return coordinator_->Submit();
  if (job->state() == v1::JobState::FINISHED) finished_ = true;
  if (job->state() != v1::JobState::PAUSED || now_ < paused_until_) return;
  Trace("resuming the job, which was paused: " + job->reason());
  if (coordinator_->Resume().ok()) return;
  StopCoordinator(false);
  Repair(*job);
  After(1000, [this] { StartCoordinator(); });
}

// `hatchery fsck --repair`.
void World::Repair(const v1::JobState& job) {
  RunCheckOptions options;
  options.repair = true;
  options.known_job = &job.job();
  options.known_steps = job.step();
  const RunDir run(disk, directory + "/jobs/" + job.job_id());
  const ReportSink report = [this](const FileReport& file) {
    Trace("fsck: " + file.path + ": " + file.text);
  };
  const Status checked = RunCheck(disk, run, options, report).Check();
  if (!checked.ok()) Trace("fsck: " + checked.message());
}

// ---- The end -----------------------------------------------------------------------------------

void World::CheckEnd() {
  const std::string id = coordinator_->Job()->job_id();
  const RunDir run = coordinator_->store().Run(id);
  disk.full = disk.failing = false;
  auto journal = JournalReader::Open(disk, run.journal_path());
  if (!journal.ok()) return Fail("the journal: " + journal.status().message());
  JournalRecord record;
  size_t commits = 0;
  bool closed = false;
  for (;;) {
    const auto outcome = (*journal)->Next(record);
    if (!outcome.ok()) return Fail("the journal: " + outcome.status().message());
    if (*outcome != JournalReader::Outcome::kRecord) break;
    if (const auto* commit = std::get_if<CommitRecord>(&record)) {
      if (commits >= lab.commits().size() || !(*commit == lab.commits()[commits]))
        return Fail("the journal's commit " + std::to_string(commits) + " is wrong");
      ++commits;
    } else if (const auto* closing = std::get_if<ClosingRecord>(&record)) {
      closed = *closing == lab.closing();
    }
  }
  if (commits != lab.commits().size()) Fail("the journal has too few commits");
  if (!closed) Fail("the journal is not closed with the one-process run's digest");
  const bool rotten = std::any_of(plan.faults.begin(), plan.faults.end(), [](const Fault& fault) {
    return fault.kind == FaultKind::kRotCheckpoint;
  });
  const auto last = run.NewestSound();
  if (!rotten && (!last.ok() || !*last || (*last)->checkpoint.step != lab.job().steps()))
    Fail("the final checkpoint is missing or damaged");
}

}  // namespace hatchery::simulation

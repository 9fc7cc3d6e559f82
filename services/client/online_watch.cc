// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Following a job, and the fleet: a live view on a terminal; elsewhere a line a step.
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <functional>
#include <mutex>
#include <thread>

#include "services/client/figure_text.h"
#include "services/client/job_feed.h"
#include "services/client/job_view.h"
#include "services/client/online.h"
#include "services/client/terminal.h"
#include "services/common/counted.h"
#include "services/common/share_meter.h"
#include "services/common/state_json.h"
#include "services/common/time_left.h"

namespace hatchery {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kCurveSteps = 4096;                   // before now
constexpr std::chrono::milliseconds kFrame{100};         // between two looks at what changed
constexpr std::chrono::milliseconds kBetweenAsks{1000};  // of the coordinator, about workers

int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Adds what is newest of a step; keeps as many as a curve shows.
void AddUpdate(const v1::JobUpdate& update, std::vector<v1::JobUpdate>& updates) {
  if (!updates.empty() && updates.back().step() == update.step()) updates.pop_back();
  updates.push_back(update);
  if (updates.size() > 2 * kCurveSteps)
    updates.erase(updates.begin(), updates.begin() + kCurveSteps);
}

// ---- Lines -------------------------------------------------------------------------------------

std::atomic<bool> interrupted = false;  // lock-free, so a signal handler may set it

// Turns Ctrl-C into a stop token while it lives. One at a time.
class Interrupt {
 public:
  Interrupt() : previous_(std::signal(SIGINT, [](int) { interrupted = true; })) {
    thread_ = std::jthread([this](const std::stop_token& ended) {
      while (!ended.stop_requested() && !source_.stop_requested()) {
        if (interrupted) source_.request_stop();
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    });
  }
  ~Interrupt() { std::signal(SIGINT, previous_); }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  std::stop_token token() const { return source_.get_token(); }

 private:
  void (*previous_)(int);
  std::stop_source source_;
  std::jthread thread_;
};

// `updates`: the newest ones, the one to print last. What is not measured yet is left out.
std::string Line(const v1::JobState& job, const std::vector<v1::JobUpdate>& updates) {
  const v1::JobUpdate& u = updates.back();
  std::string text = "step " + std::to_string(u.step()) + "/" + std::to_string(u.steps());
  const bool trained = u.train_bits_per_byte() > 0, held_out = u.validation_bits_per_byte() > 0;
  if (trained) text += "  train " + FormatBitsPerByte(u.train_bits_per_byte());
  if (held_out)
    text += "  held-out " + FormatBitsPerByte(u.validation_bits_per_byte()) + " (step " +
            std::to_string(u.validation_step()) + ")";
  if (trained || held_out) text += " bits/byte";
  if (u.tokens_per_second() > 0) text += "  " + FormatRate(u.tokens_per_second()) + " tokens/s";
  text += "  " + Counted(u.workers(), "worker");
  v1::JobState now = job;
  now.set_state(u.state());
  now.set_step(u.step());
  if (u.state() != v1::JobState::RUNNING)
    text += "  " + StateName(u.state());
  else if (const auto left = SecondsLeft(now, updates); left && *left > 0)
    text += "  ETA " + FormatDuration(*left);
  return text;
}

StatusOr<v1::JobState> FollowInLines(Online& online, const v1::JobState& job, bool json,
                                     uint32_t seen) {
  const Interrupt interrupt;
  JobFeed feed;
  std::vector<v1::JobUpdate> updates;
  feed.on_update = [&](const v1::JobUpdate& update) {
    AddUpdate(update, updates);
    std::printf("%s\n", (json ? ToJson(update) : Line(job, updates)).c_str());
    std::fflush(stdout);
  };
  feed.on_note = [](const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); };
  return FollowJob(online, job.job_id(), seen, feed, interrupt.token());
}

// ---- Live views --------------------------------------------------------------------------------

// Shows `frame` on the whole terminal until it says that it is the last one, or somebody quits;
// then leaves that frame on the screen that was there before.
struct Frame {
  std::vector<std::string> lines;
  bool last = false;
};
void ShowLive(const std::function<Frame(ViewSize, Style)>& frame) {
  const Style style = StyleOfStdout();
  std::vector<std::string> lines;
  {
    Terminal terminal;
    for (bool last = false; !last;) {
      Frame now = frame(terminal.size(), style);
      lines = std::move(now.lines);
      terminal.Show(lines);
      last = now.last || terminal.WaitForQuit(kFrame);
    }
  }
  if (!lines.empty()) lines.pop_back();  // the hint how to quit
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// Calls `ask` now and every second, on a thread of its own, while it lives.
class Repeat {
 public:
  explicit Repeat(std::function<void(const std::stop_token&)> ask)
      : thread_([ask = std::move(ask)](const std::stop_token& stop) {
          std::mutex mutex;
          std::unique_lock lock(mutex);
          std::condition_variable_any never;
          do ask(stop);
          while (!never.wait_for(lock, stop, kBetweenAsks, [] { return false; }) &&
                 !stop.stop_requested());
        }) {}

 private:
  std::jthread thread_;
};

// The connected workers with their shares; of one job, unless `job_id` is empty.
class WorkersAsker {
 public:
  StatusOr<std::vector<WorkerRow>> Ask(Online& online, const std::string& job_id,
                                       const std::stop_token& stop) {
    v1::ListWorkersRequest request;
    request.set_connected_only(true);
    HATCHERY_ASSIGN_OR_RETURN(const v1::ListWorkersResponse response,
                              online.Call(&Online::Stub::ListWorkers, request, stop));
    std::vector<v1::WorkerState> connected;
    for (const v1::WorkerState& worker : response.workers())
      if (worker.state() != "gone") connected.push_back(worker);  // an older coordinator tells all
    const std::chrono::duration<double> now = Clock::now() - start_;
    meter_.Add(now.count(), connected);
    std::vector<WorkerRow> rows;
    for (const v1::WorkerState& worker : connected)
      if (job_id.empty() || worker.job_id() == job_id) rows.push_back({worker, meter_.Of(worker)});
    return rows;
  }

 private:
  const Clock::time_point start_ = Clock::now();
  ShareMeter meter_;
};

StatusOr<v1::JobState> FollowLive(Online& online, const v1::JobState& job,
                                  const std::string& coordinator, uint32_t seen) {
  std::mutex mutex;
  JobView view;
  view.coordinator = coordinator;
  view.job = job;
  std::optional<StatusOr<v1::JobState>> ended;

  JobFeed feed;
  feed.on_update = [&](const v1::JobUpdate& update) {
    std::lock_guard lock(mutex);
    view.notice.clear();
    view.job.set_step(update.step());
    view.job.set_state(update.state());
    view.job.set_workers(update.workers());
    *view.job.mutable_latest() = update;
    AddUpdate(update, view.updates);
  };
  feed.on_note = [&](const std::string& text) {
    std::lock_guard lock(mutex);
    view.notice = text;
  };
  const std::jthread follower([&](const std::stop_token& stop) {
    StatusOr<v1::JobState> state = FollowJob(online, job.job_id(), seen, feed, stop);
    std::lock_guard lock(mutex);
    if (state.ok()) view.job = *state;
    ended = std::move(state);
  });
  WorkersAsker asker;
  const Repeat workers([&](const std::stop_token& stop) {
    auto rows = asker.Ask(online, job.job_id(), stop);
    const auto state = GetJob(online, job.job_id(), stop);
    std::lock_guard lock(mutex);
    if (rows.ok()) view.workers = std::move(*rows);
    // The stream may have told of later steps meanwhile.
    if (state.ok() && !ended && state->step() >= view.job.step()) view.job = *state;
  });
  ShowLive([&](ViewSize size, Style style) -> Frame {
    std::lock_guard lock(mutex);
    view.now_unix_seconds = UnixSeconds();
    return {Render(view, size, style), ended.has_value()};
  });
  std::lock_guard lock(mutex);
  return ended ? *ended : Cancelled("no longer watched");
}

// ---- The ends ----------------------------------------------------------------------------------

Status Ended(const v1::JobState& job) {
  const std::string reason = job.reason().empty() ? "" : ": " + job.reason();
  if (job.state() == v1::JobState::CANCELLED)
    return FailedPrecondition("job " + job.job_id() + " was cancelled at step " +
                              std::to_string(job.step()) + reason);
  std::fprintf(stderr, "job %s has finished; get it with: hatchery fetch %s --out DIR\n",
               job.job_id().c_str(), job.job_id().c_str());
  return {};
}

// What an online call needs to be made again by hand.
std::string At(const OnlineOptions& options) { return " --coordinator " + options.coordinator; }

StatusOr<FleetView> AskFleet(Online& online, WorkersAsker& asker, const std::stop_token& stop) {
  FleetView view;
  HATCHERY_ASSIGN_OR_RETURN(v1::ListJobsResponse jobs,
                            online.Call(&Online::Stub::ListJobs, v1::ListJobsRequest(), stop));
  view.jobs.assign(jobs.jobs().begin(), jobs.jobs().end());
  HATCHERY_ASSIGN_OR_RETURN(view.workers, asker.Ask(online, "", stop));
  return view;
}

void PrintOnce(const FleetView& view, bool json) {
  for (const v1::JobState& job : view.jobs)
    if (json) std::printf("%s\n", ToJson(job).c_str());
  for (const WorkerRow& worker : view.workers)
    if (json) std::printf("%s\n", ToJson(worker.state).c_str());
  if (json) return;
  const size_t rows = view.jobs.size() + 2 * view.workers.size() + 10;  // for all
  auto lines = Render(view, {.columns = 200, .rows = 2 * rows}, {});
  lines.pop_back();
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
}

}  // namespace

Status WatchJob(const OnlineOptions& options, const std::string& job_id,
                std::optional<uint32_t> from) {
  HATCHERY_ASSIGN_OR_RETURN(Online online, Online::Open(options));
  HATCHERY_ASSIGN_OR_RETURN(const v1::JobState job, GetJob(online, job_id));
  const bool live = !options.json && Terminal::Usable();
  // Step n is what the n-th commit led to. The live view's curve wants a past.
  const uint32_t seen = from   ? std::max(*from, 1u) - 1
                        : live ? job.step() - std::min(job.step(), kCurveSteps)
                               : job.step();
  const StatusOr<v1::JobState> ended = live ? FollowLive(online, job, options.coordinator, seen)
                                            : FollowInLines(online, job, options.json, seen);
  if (ended.ok()) return Ended(*ended);
  if (ended.status().code() != StatusCode::kCancelled) return ended.status();
  std::fprintf(stderr,
               "stopped watching; the job goes on. Watch it again with: hatchery watch %s%s\n",
               job_id.c_str(), At(options).c_str());
  return {};
}

Status WatchFleet(const OnlineOptions& options) {
  HATCHERY_ASSIGN_OR_RETURN(Online online, Online::Open(options));
  WorkersAsker asker;
  HATCHERY_ASSIGN_OR_RETURN(FleetView view, AskFleet(online, asker, {}));
  view.coordinator = options.coordinator;
  if (options.json || !Terminal::Usable()) {
    PrintOnce(view, options.json);
    return {};
  }
  std::mutex mutex;
  const Repeat repeat([&](const std::stop_token& stop) {
    StatusOr<FleetView> now = AskFleet(online, asker, stop);
    std::lock_guard lock(mutex);
    if (now.ok()) {
      view = std::move(*now);
      view.coordinator = options.coordinator;
    } else {
      view.notice = now.status().message() + "; asking again";
    }
  });
  ShowLive([&](ViewSize size, Style style) -> Frame {
    std::lock_guard lock(mutex);
    view.now_unix_seconds = UnixSeconds();
    return {Render(view, size, style), false};
  });
  return {};
}

}  // namespace hatchery

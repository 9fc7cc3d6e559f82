// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Following a job: one live line on a terminal, a line a step elsewhere.
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <stop_token>
#include <thread>

#include "services/client/online.h"
#include "services/client/online_print.h"
#include "services/common/job.h"
#include "services/common/rpc.h"

namespace hatchery {
namespace {

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

class Screen {
 public:
  Screen(const OnlineOptions& options, v1::Job job)
      : json_(options.json), live_(!options.json && isatty(STDOUT_FILENO)), job_(std::move(job)) {}
  ~Screen() { EndLine(); }

  // Shows each update once: a coordinator repeats the newest one whenever a stream begins.
  void Show(const v1::JobUpdate& update) {
    if (shown_ && shown_->first == update.step() && shown_->second == update.state()) return;
    shown_ = {update.step(), update.state()};
    if (json_) {
      std::printf("%s\n", ToJson(update).c_str());
    } else {
      std::printf(live_ ? "\r\033[K%s" : "%s\n", Line(update).c_str());
      open_line_ = live_;
    }
    std::fflush(stdout);
  }

  // A remark, on stderr.
  void Say(const std::string& text) {
    EndLine();
    std::fprintf(stderr, "%s\n", text.c_str());
  }

 private:
  void EndLine() {
    if (!open_line_) return;
    std::printf("\n");
    std::fflush(stdout);
    open_line_ = false;
  }

  std::string Line(const v1::JobUpdate& u) const {
    char text[256];
    int at = std::snprintf(text, sizeof text, "step %u/%u  train %.3f", u.step(), u.steps(),
                           u.train_bits_per_byte());
    const auto add = [&](const char* format, auto... values) {
      at += std::snprintf(text + at, sizeof text - static_cast<size_t>(at), format, values...);
    };
    if (u.validation_bits_per_byte() > 0) {
      add("  held-out %.3f (step %u)", u.validation_bits_per_byte(), u.validation_step());
    }
    add(" bits/byte  %s tokens/s  %u worker%s", FormatRate(u.tokens_per_second()).c_str(),
        u.workers(), u.workers() == 1 ? "" : "s");
    if (u.state() != v1::JobState::RUNNING) {
      add("  %s", StateName(u.state()).c_str());
    } else if (u.tokens_per_second() > 0 && u.steps() > u.step()) {
      const double tokens = double(u.steps() - u.step()) * double(TokensPerStep(job_));
      add("  ETA %s", FormatDuration(tokens / u.tokens_per_second()).c_str());
    }
    return text;
  }

  const bool json_;
  const bool live_;
  const v1::Job job_;
  bool open_line_ = false;
  std::optional<std::pair<uint32_t, v1::JobState::State>> shown_;  // last
};

bool IsOver(v1::JobState::State state) {
  return state == v1::JobState::FINISHED || state == v1::JobState::CANCELLED;
}

// One WatchJob call: shows its updates until the stream ends, for whatever reason. `seen`: commits
// whose updates need not be sent (again).
grpc::Status Follow(Online& online, const std::string& job_id, uint32_t& seen, Screen& screen,
                    const std::stop_token& stop) {
  grpc::ClientContext context;
  const CancelOnStop cancel(stop, context);
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  request.set_from_step(seen);
  const auto reader = online.stub().WatchJob(&context, request);
  v1::JobUpdate update;
  while (reader->Read(&update)) {
    screen.Show(update);
    seen = update.step();
  }
  return reader->Finish();
}

StatusOr<v1::JobState> GetJob(Online& online, const std::string& job_id) {
  v1::GetJobRequest request;
  request.set_job_id(job_id);
  return online.Call(&Online::Stub::GetJob, request);
}

Status Ended(const v1::JobState& job, Screen& screen) {
  const std::string reason = job.reason().empty() ? "" : ": " + job.reason();
  if (job.state() == v1::JobState::CANCELLED) {
    return FailedPrecondition("job " + job.job_id() + " was cancelled at step " +
                              std::to_string(job.step()) + reason);
  }
  screen.Say("job " + job.job_id() + " has finished; get it with: hatchery fetch " + job.job_id() +
             " --out DIR");
  return {};
}

}  // namespace

Status WatchJob(const OnlineOptions& options, const std::string& job_id,
                std::optional<uint32_t> from) {
  const Interrupt interrupt;
  const std::stop_token stop = interrupt.token();
  HATCHERY_ASSIGN_OR_RETURN(Online online, Online::Open(options));
  StatusOr<v1::JobState> job = GetJob(online, job_id);
  if (!job.ok()) return job.status();
  // Step n is what the n-th commit led to.
  uint32_t seen = from ? std::max(*from, 1u) - 1 : job->step();
  Screen screen(options, job->job());
  for (bool lost = false; !stop.stop_requested();) {
    const grpc::Status ended = Follow(online, job_id, seen, screen, stop);
    if (stop.stop_requested()) break;
    // The stream may have ended with the job or with the coordinator; the job itself tells.
    job = GetJob(online, job_id);
    if (job.ok() && IsOver(job->state())) return Ended(*job, screen);
    if (job.ok() && lost) screen.Say("the coordinator is back");
    if (!job.ok() && job.status().code() != StatusCode::kUnavailable) return job.status();
    if (!job.ok() && !lost) screen.Say(job.status().message() + "; waiting for it");
    if (job.ok() && !ended.ok() && ended.error_code() != grpc::StatusCode::UNAVAILABLE) {
      return online.Explain(ended);
    }
    lost = !job.ok();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  screen.Say("stopped watching; the job goes on. Watch it again with: hatchery watch " + job_id +
             " --coordinator " + options.coordinator);
  return {};
}

}  // namespace hatchery

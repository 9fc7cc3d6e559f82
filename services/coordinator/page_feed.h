// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "services/common/share_meter.h"
#include "services/common/state_json.h"
#include "services/coordinator/engine.h"
#include "services/coordinator/sampler.h"

namespace hatchery::coordinator {

// What browsers are told while they watch (docs/page.md has the messages): once a second, if
// anybody listens, the engine is asked how things stand, and what changed becomes one message, made
// once for all listeners. A listener that falls kMessagesKept messages behind has to begin anew, so
// that none can hold up another or make the coordinator grow. Thread-safe.
class PageFeed {
 public:
  using Clock = std::chrono::steady_clock;
  using Message = std::shared_ptr<const std::string>;  // one line of JSON

  // Both must outlive this, and this its listeners.
  PageFeed(Engine& engine, const Sampler& sampler);
  ~PageFeed() { Stop(); }
  // No listener waits any more.
  void Stop();

  // One browser. Its first message tells how everything stands, the next ones what changed.
  class Listener {
   public:
    explicit Listener(PageFeed& feed) : feed_(feed), next_(feed.Join(first_)) {}
    ~Listener() { feed_.Leave(); }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    enum class Outcome { kMessage, kNothingYet, kOver };
    // Waits for a message up to `patience`. kOver: it fell behind, or the feed stopped.
    Outcome Next(std::chrono::milliseconds patience, Message& message);

   private:
    PageFeed& feed_;
    Message first_;
    uint64_t next_;
  };

  // All that is shown of one job besides what the feed tells: its curve, its events, its texts.
  // kNotFound if there is none.
  StatusOr<std::string> Details(const std::string& job) const;
  // The curve alone, of steps in (from, to].
  StatusOr<std::string> CurveJson(const std::string& job, uint32_t from, uint32_t to) const;

  static constexpr size_t kMessagesKept = 60;
  static constexpr size_t kBytesKept = size_t{8} << 20;  // of those messages
  static constexpr size_t kJobsShown = 200;              // besides all that are unfinished
  static constexpr size_t kWorkersShown = 200;
  static constexpr uint32_t kEventsShown = 200;
  static constexpr uint32_t kPointsShown = 2000;  // of a curve
  static constexpr uint32_t kPointsAtOnce = 200;  // in one message

 private:
  // The whole as it is now, and the number of the message after it.
  uint64_t Join(Message& first);
  void Leave();
  void Run(const std::stop_token& stop);
  // With mutex_ held: asks the engine, and publishes what changed.
  void Gather();
  std::string WhatChanged(const Engine::Glance& glance);
  void AddCurve(const v1::JobState& job, uint32_t told, std::vector<std::string>& curves) const;
  std::string Whole() const;
  std::string RowOf(const v1::JobState& job) const;
  void Publish(std::string message);

  Engine& engine_;
  const Sampler& sampler_;
  mutable std::mutex mutex_;
  std::condition_variable_any listening_, news_;
  size_t listeners_ = 0;
  bool stopping_ = false;
  std::deque<Message> messages_;
  size_t bytes_ = 0;   // of messages_
  uint64_t next_ = 0;  // number of the message after the last of messages_

  // As it was told last.
  struct Told {
    std::string row;
    uint32_t step = 0;
  };
  std::map<std::string, Told> jobs_;  // by id
  std::string workers_;               // the message's part about them
  std::deque<std::string> events_;
  size_t all_jobs_ = 0;
  uint64_t events_seen_ = 0, texts_seen_ = 0;
  Clock::time_point gathered_;
  ShareMeter shares_;

  std::jthread thread_;  // last: it uses the rest
};

}  // namespace hatchery::coordinator

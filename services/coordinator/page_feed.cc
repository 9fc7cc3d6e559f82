// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/page_feed.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "services/common/time_left.h"

namespace hatchery::coordinator {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::seconds kBetweenMessages{1};
constexpr uint32_t kSpeedOf = 20;  // steps, for the time that is left

bool IsOver(const v1::JobState& job) {
  return job.state() == v1::JobState::FINISHED || job.state() == v1::JobState::CANCELLED;
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Number(std::optional<double> value) { return Dump(value ? Json(*value) : Json()); }

template <typename Items>
std::string Array(const Items& items) {
  std::string text = "[";
  for (const std::string& item : items) {
    if (text.size() > 1) text += ',';
    text += item;
  }
  text += ']';
  return text;
}

// Objects of JSON, one part after the other.
class Object {
 public:
  Object& Add(const std::string& name, const std::string& json) {
    if (!empty()) text_ += ',';
    text_.append("\"").append(name).append("\":").append(json);
    return *this;
  }
  bool empty() const { return text_.size() == 1; }
  std::string Take() {
    text_ += '}';
    return std::move(text_);
  }

 private:
  std::string text_ = "{";
};

// Columns. Every figure is of the weights after so many commits; speeds are those of the steps that
// led there.
std::string CurveText(const Curve& curve) {
  Json step = Json::array(), train = step, held_out_step = step, held_out = step, speed = step;
  std::optional<uint32_t> measured;
  for (const v1::JobUpdate& update : curve.updates) {
    step.push_back(update.step() - 1);
    train.push_back(update.train_bits_per_byte());
    speed.push_back(update.tokens_per_second() > 0 ? Json(update.tokens_per_second()) : Json());
    if (update.validation_bits_per_byte() <= 0 || measured == update.validation_step()) continue;
    measured = update.validation_step();
    held_out_step.push_back(*measured);
    held_out.push_back(update.validation_bits_per_byte());
  }
  return Dump({{"stride", curve.stride},
               {"step", std::move(step)},
               {"train", std::move(train)},
               {"tokens_per_second", std::move(speed)},
               {"held_out_step", std::move(held_out_step)},
               {"held_out", std::move(held_out)}});
}

std::string TextJson(const Sampler::Text& text) {
  return Dump({{"job_id", text.job}, {"step", text.step}, {"text", text.text}});
}

std::string EventJson(const v1::Event& event) { return ToJson(event); }

template <typename T>
std::vector<std::string> Each(const std::vector<T>& items, std::string (*to_json)(const T&)) {
  std::vector<std::string> all;
  for (const T& item : items) all.push_back(to_json(item));
  return all;
}

}  // namespace

PageFeed::PageFeed(Engine& engine, const Sampler& sampler)
    : engine_(engine),
      sampler_(sampler),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

void PageFeed::Stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  news_.notify_all();
}

// ---- Listeners ---------------------------------------------------------------------------------

uint64_t PageFeed::Join(Message& first) {
  std::lock_guard lock(mutex_);
  // If nobody listened, what was told last is old.
  if (Clock::now() - gathered_ >= kBetweenMessages) Gather();
  first = std::make_shared<const std::string>(Whole());
  ++listeners_;
  listening_.notify_one();
  return next_;
}

void PageFeed::Leave() {
  std::lock_guard lock(mutex_);
  --listeners_;
}

PageFeed::Listener::Outcome PageFeed::Listener::Next(std::chrono::milliseconds patience,
                                                     Message& message) {
  if (first_ != nullptr) {
    message = std::exchange(first_, nullptr);
    return Outcome::kMessage;
  }
  std::unique_lock lock(feed_.mutex_);
  feed_.news_.wait_for(lock, patience, [&] { return feed_.stopping_ || feed_.next_ > next_; });
  if (feed_.stopping_) return Outcome::kOver;
  if (feed_.next_ == next_) return Outcome::kNothingYet;
  const uint64_t behind = feed_.next_ - next_;
  if (behind > feed_.messages_.size()) return Outcome::kOver;
  message = feed_.messages_[feed_.messages_.size() - behind];
  ++next_;
  return Outcome::kMessage;
}

void PageFeed::Run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (listening_.wait(lock, stop, [this] { return listeners_ > 0; })) {
    listening_.wait_for(lock, stop, kBetweenMessages, [] { return false; });
    if (stop.stop_requested()) return;
    Gather();
  }
}

void PageFeed::Publish(std::string message) {
  bytes_ += message.size();
  messages_.push_back(std::make_shared<const std::string>(std::move(message)));
  ++next_;
  while (messages_.size() > kMessagesKept || bytes_ > kBytesKept) {
    bytes_ -= messages_.front()->size();
    messages_.pop_front();
  }
  news_.notify_all();
}

// ---- Messages ----------------------------------------------------------------------------------

void PageFeed::Gather() {
  gathered_ = Clock::now();
  const Engine::Glance glance = engine_.LookAround(events_seen_, kEventsShown);
  shares_.Add(std::chrono::duration<double>(gathered_.time_since_epoch()).count(), glance.workers);
  if (std::string changed = WhatChanged(glance); !changed.empty()) Publish(std::move(changed));
}

std::string PageFeed::RowOf(const v1::JobState& job) const {
  std::optional<double> left;
  if (job.state() == v1::JobState::RUNNING) {
    const uint32_t from = job.step() - std::min(job.step(), kSpeedOf);
    const auto newest = engine_.CurveOf(job.job_id(), from, job.step(), kSpeedOf);
    left = SecondsLeft(job, newest.ok() ? newest->updates : std::vector<v1::JobUpdate>());
  }
  return Object().Add("state", ToJson(job)).Add("seconds_left", Number(left)).Take();
}

// The steps after `told`; if there are none, the newest again: the end of a job changes it.
void PageFeed::AddCurve(const v1::JobState& job, uint32_t told,
                        std::vector<std::string>& curves) const {
  if (job.step() == 0) return;
  const auto curve =
      engine_.CurveOf(job.job_id(), std::min(told, job.step() - 1), UINT32_MAX, kPointsAtOnce);
  if (!curve.ok()) return;
  curves.push_back(
      Object().Add("job_id", Dump(job.job_id())).Add("curve", CurveText(*curve)).Take());
}

std::string PageFeed::WhatChanged(const Engine::Glance& glance) {
  Object news;
  std::vector<std::string> rows, curves;
  size_t shown = 0;
  std::set<std::string> ids;
  for (auto job = glance.jobs.rbegin(); job != glance.jobs.rend(); ++job) {
    if (++shown > kJobsShown && IsOver(*job)) continue;
    ids.insert(job->job_id());
    std::string row = RowOf(*job);
    Told& told = jobs_[job->job_id()];
    if (row == told.row) continue;
    if (!told.row.empty()) AddCurve(*job, told.step, curves);
    rows.push_back(row);
    told = {std::move(row), job->step()};
  }
  std::erase_if(jobs_, [&](const auto& job) { return !ids.contains(job.first); });
  if (!rows.empty() || all_jobs_ != glance.jobs.size()) {
    all_jobs_ = glance.jobs.size();
    news.Add("jobs", Array(rows)).Add("all_jobs", std::to_string(all_jobs_));
  }
  if (!curves.empty()) news.Add("curves", Array(curves));

  std::vector<std::string> workers;
  for (const v1::WorkerState& worker : glance.workers) {
    if (workers.size() == kWorkersShown) break;
    workers.push_back(
        Object().Add("state", ToJson(worker)).Add("share", Number(shares_.Of(worker))).Take());
  }
  Object fleet;
  fleet.Add("shown", Array(workers)).Add("all", std::to_string(glance.workers.size()));
  if (std::string now = fleet.Take(); now != workers_) news.Add("workers", workers_ = now);

  const std::vector<std::string> events = Each(glance.events, EventJson);
  events_.insert(events_.end(), events.begin(), events.end());
  while (events_.size() > kEventsShown) events_.pop_front();
  events_seen_ = glance.events_so_far;
  if (!events.empty()) news.Add("events", Array(events));

  const Sampler::News texts = sampler_.Since(texts_seen_);
  texts_seen_ = texts.so_far;
  if (!texts.texts.empty()) news.Add("texts", Array(Each(texts.texts, TextJson)));
  return news.empty() ? std::string() : news.Take();
}

std::string PageFeed::Whole() const {
  std::vector<std::string> rows;
  for (const auto& [id, told] : jobs_) rows.push_back(told.row);
  return Object()
      .Add("whole", "true")
      .Add("version", Dump(HATCHERY_VERSION))
      .Add("jobs", Array(rows))
      .Add("all_jobs", std::to_string(all_jobs_))
      .Add("workers", workers_)
      .Add("events", Array(events_))
      .Take();
}

// ---- One job -----------------------------------------------------------------------------------

StatusOr<std::string> PageFeed::CurveJson(const std::string& job, uint32_t from,
                                          uint32_t to) const {
  HATCHERY_ASSIGN_OR_RETURN(const auto curve, engine_.CurveOf(job, from, to, kPointsShown));
  return CurveText(curve);
}

StatusOr<std::string> PageFeed::Details(const std::string& job) const {
  HATCHERY_ASSIGN_OR_RETURN(const std::string curve, CurveJson(job, 0, UINT32_MAX));
  HATCHERY_ASSIGN_OR_RETURN(const auto events, engine_.Events(job, kEventsShown));
  return Object()
      .Add("curve", curve)
      .Add("events", Array(Each(events, EventJson)))
      .Add("texts", Array(Each(sampler_.Of(job), TextJson)))
      .Take();
}

}  // namespace hatchery::coordinator

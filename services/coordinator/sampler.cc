// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/sampler.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "services/common/backend.h"
#include "services/common/job.h"
#include "services/common/printable.h"
#include "services/common/sampling.h"
#include "services/common/system.h"

namespace hatchery::coordinator {
namespace {

constexpr SamplingOptions kSampling{.bytes = 240, .temperature = 0.7, .min_p = 0.02};
constexpr size_t kNewestKept = 32;
// Of a checkpoint: reading it, decoding it and loading a replica take three times as much.
constexpr uint64_t kMostBytes = uint64_t{256} << 20;

// Line ends stay.
std::string PrintableLines(const std::string& text) {
  std::string lines;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (at > 0) lines += '\n';
    lines += Printable(std::string_view(text).substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

StatusOr<std::string> Write(const RunDir& run, uint32_t step) {
  std::error_code ignored;  // then the size is the greatest there is
  if (std::filesystem::file_size(run.checkpoint_path(step), ignored) > kMostBytes)
    return ResourceExhausted("too large to be sampled");
  HATCHERY_ASSIGN_OR_RETURN(const auto stored, run.Read(step));
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(stored.checkpoint.job));
  const BackendOptions backend{.name = "cpu", .threads = 1};
  HATCHERY_ASSIGN_OR_RETURN(const auto replica, CreateReplica(spec, {}, backend));
  HATCHERY_RETURN_IF_ERROR(replica->Restore(step, stored.checkpoint.weights));
  std::string text;
  HATCHERY_RETURN_IF_ERROR(
      SampleBytes(*replica, "", kSampling, [&](uint8_t byte) { text += static_cast<char>(byte); }));
  return PrintableLines(text);
}

// So that no more than `most` are left, evenly spread, with the last one among them.
template <typename T>
void Thin(std::vector<T>& values, size_t most) {
  while (values.size() > most) {
    size_t kept = 0;
    for (size_t i = (values.size() + 1) % 2; i < values.size(); i += 2)
      std::swap(values[kept++], values[i]);
    values.resize(kept);
  }
}

}  // namespace

Sampler::Sampler(const JobStore& store)
    : store_(store), thread_([this](const std::stop_token& stop) { Run(stop); }) {}

void Sampler::Look(const std::string& job) {
  std::lock_guard lock(mutex_);
  jobs_to_read_.insert(job);
  work_.notify_one();
}

std::vector<Sampler::Text> Sampler::Of(const std::string& job) const {
  std::lock_guard lock(mutex_);
  const auto found = texts_.find(job);
  return found == texts_.end() ? std::vector<Text>() : found->second;
}

Sampler::News Sampler::Since(uint64_t seen) const {
  std::lock_guard lock(mutex_);
  const uint64_t fresh = std::min<uint64_t>(so_far_ - std::min(seen, so_far_), newest_.size());
  return {{newest_.end() - static_cast<ptrdiff_t>(fresh), newest_.end()}, so_far_};
}

void Sampler::Run(const std::stop_token& stop) {
  YieldToOtherThreads();
  while (true) {
    std::string job;
    {
      std::unique_lock lock(mutex_);
      if (!work_.wait(lock, stop, [this] { return !jobs_to_read_.empty(); })) return;
      job = jobs_to_read_.extract(jobs_to_read_.begin()).value();
    }
    for (const uint32_t step : Unread(job)) {
      if (stop.stop_requested()) return;
      if (auto text = Write(store_.Run(job), step); text.ok()) Add({job, step, std::move(*text)});
    }
  }
}

std::vector<uint32_t> Sampler::Unread(const std::string& job) const {
  auto steps = store_.Run(job).Checkpoints();
  if (!steps.ok()) return {};
  const std::vector<Text> known = Of(job);
  if (!known.empty())
    std::erase_if(*steps, [&](uint32_t step) { return step <= known.back().step; });
  Thin(*steps, kTextsKept);
  return std::move(*steps);
}

void Sampler::Add(Text text) {
  std::lock_guard lock(mutex_);
  newest_.push_back(text);
  ++so_far_;
  if (newest_.size() > kNewestKept) newest_.pop_front();
  std::vector<Text>& of_job = texts_[text.job];
  of_job.push_back(std::move(text));
  Thin(of_job, kTextsKept);
  if (texts_.size() <= kJobsKept) return;
  // The oldest job's go; ids are numbers that grow.
  texts_.erase(std::min_element(texts_.begin(), texts_.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.size(), a.first) < std::pair(b.first.size(), b.first);
  }));
}

}  // namespace hatchery::coordinator

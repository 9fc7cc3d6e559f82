// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "services/coordinator/job_store.h"

namespace hatchery::coordinator {

// Lets a job's stored checkpoints write some text, for people who watch: on one thread of the least
// priority, one checkpoint at a time, on this machine's processor. Whatever stands in the way (a
// model too large, a checkpoint that is gone meanwhile) costs the text, nothing else.
class Sampler {
 public:
  struct Text {
    std::string job;
    uint32_t step = 0;  // of the weights that wrote it
    std::string text;   // lines of printable UTF-8
  };

  // `store` must outlive this.
  explicit Sampler(const JobStore& store);

  // The job may have a checkpoint that was not seen yet. Returns at once.
  void Look(const std::string& job);

  // Of one job, oldest first, at most kTextsKept, spread over its steps.
  std::vector<Text> Of(const std::string& job) const;
  // Those since the `seen`-th of all, as far as they are still known, and how many there were.
  struct News {
    std::vector<Text> texts;
    uint64_t so_far = 0;
  };
  News Since(uint64_t seen) const;

  static constexpr size_t kTextsKept = 16;
  static constexpr size_t kJobsKept = 100;

 private:
  void Run(const std::stop_token& stop);
  // What this job has stored and we have not read: at most kTextsKept steps.
  std::vector<uint32_t> Unread(const std::string& job) const;
  void Add(Text text);

  const JobStore& store_;
  mutable std::mutex mutex_;
  std::condition_variable_any work_;
  std::set<std::string> jobs_to_read_;
  std::map<std::string, std::vector<Text>> texts_;  // by job
  std::deque<Text> newest_;
  uint64_t so_far_ = 0;
  std::jthread thread_;  // last: it uses the rest
};

}  // namespace hatchery::coordinator

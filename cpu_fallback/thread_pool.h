// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace hatchery {

// Threads that live as long as the replica. One ParallelFor at a time.
class ThreadPool {
 public:
  // Throws std::system_error if the system has no room for so many.
  explicit ThreadPool(unsigned threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  unsigned size() const { return static_cast<unsigned>(threads_.size()); }

  // Calls body(index, thread) for every index in [0, count), thread in [0, size()); returns when
  // all calls have. Indices are taken in order as threads become free.
  void ParallelFor(size_t count, const std::function<void(size_t, unsigned)>& body);

 private:
  void Run(unsigned thread);
  void Stop();

  std::mutex mutex_;
  std::condition_variable work_, done_;
  const std::function<void(size_t, unsigned)>* body_ = nullptr;
  size_t next_ = 0, count_ = 0, running_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace hatchery

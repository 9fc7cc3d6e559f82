// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "cpu_fallback/thread_pool.h"

#include <algorithm>

#include "cpu_fallback/product.h"

namespace hatchery {

ThreadPool::ThreadPool(unsigned threads) {
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  try {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this, i] { Run(i); });
  } catch (...) {
    Stop();  // no destructor runs for those that did start
    throw;
  }
}

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::ParallelFor(size_t count, const std::function<void(size_t, unsigned)>& body) {
  if (count == 0) return;
  std::unique_lock lock(mutex_);
  body_ = &body;
  next_ = 0;
  count_ = count;
  work_.notify_all();
  done_.wait(lock, [this] { return next_ == count_ && running_ == 0; });
  body_ = nullptr;
}

void ThreadPool::Run(unsigned thread) {
  KeepProductsSingleThreaded();
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return stopping_ || (body_ != nullptr && next_ < count_); });
    if (stopping_) return;
    const size_t index = next_++;
    const auto* body = body_;
    ++running_;
    lock.unlock();
    (*body)(index, thread);
    lock.lock();
    --running_;
    if (next_ == count_ && running_ == 0) done_.notify_all();
  }
}

}  // namespace hatchery

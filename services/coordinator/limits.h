// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// How much of anything peers may ask for.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "hatchery/v1/job.pb.h"
#include "kernels/status.h"
#include "services/coordinator/watchdog.h"

namespace CLI {
class App;
}

namespace hatchery::coordinator {

struct Limits {
  uint32_t workers = 4096;                         // sessions at once
  uint32_t watchers = 128;                         // WatchJob calls at once; a thread each
  uint32_t transfers = 64;                         // files on their way at once; a thread each
  uint64_t upload_bytes = uint64_t{64} << 30;      // of one file
  uint64_t kept_free_bytes = uint64_t{256} << 20;  // of the disk, which journals need
  uint64_t weight_bytes = uint64_t{4} << 30;       // of a job's model
  uint64_t journal_bytes = uint64_t{256} << 30;    // of a job's journal, when it will be complete
  uint32_t unfinished_jobs = 1000;
  uint32_t stalled_seconds = 60;  // a peer that neither reads nor sends is cut off
};
void AddLimitOptions(CLI::App& app, Limits& limits);

// OK if a coordinator with these limits takes the job, which must be valid.
Status CheckSize(const v1::Job& job, const Limits& limits);

// A number of equal places, of which one machine gets half at most: it cannot keep out the rest.
// Thread-safe.
class Slots {
 public:
  // One place; given back when it goes.
  class Slot {
   public:
    Slot(Slots* slots, std::string machine) : slots_(slots), machine_(std::move(machine)) {}
    Slot(Slot&& other) noexcept
        : slots_(std::exchange(other.slots_, nullptr)), machine_(std::move(other.machine_)) {}
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (slots_ != nullptr) slots_->GiveBack(machine_);
    }

   private:
    Slots* slots_;
    std::string machine_;
  };

  // So many of `what`, by the coordinator's option.
  Slots(uint32_t size, std::string what, std::string option)
      : size_(size), what_(std::move(what)), option_(std::move(option)) {}
  // kResourceExhausted, naming what there is too much of, if all places are taken, or half of them
  // by the machine of `peer`, as gRPC names it; an empty one is nobody in particular.
  StatusOr<Slot> Take(const std::string& peer = "");

 private:
  void GiveBack(const std::string& machine);

  const uint32_t size_;
  const std::string what_, option_;
  std::mutex mutex_;
  uint32_t used_ = 0;
  std::map<std::string, uint32_t> of_machine_;
};

// Bytes of messages so far, before framing and encryption.
struct Traffic {
  std::atomic<uint64_t> session_received = 0, session_sent = 0;  // of workers' sessions
  std::atomic<uint64_t> file_received = 0, file_sent = 0;        // of transfers
};

// The limits and what is used of them. Thread-safe; shared by both services.
struct Bounds {
  explicit Bounds(const Limits& l)
      : limits(l),
        workers(l.workers, "workers", "--max-workers"),
        watchers(l.watchers, "watchers", "--max-watchers"),
        worker_transfers(l.transfers, "transfers to and from workers", "--max-transfers"),
        client_transfers(l.transfers, "transfers to and from clients", "--max-transfers") {}
  std::chrono::seconds patience() const { return std::chrono::seconds(limits.stalled_seconds); }

  const Limits limits;
  // Neither workers nor clients can keep the others from their files.
  Slots workers, watchers, worker_transfers, client_transfers;
  Traffic traffic;
  Watchdog watchdog;
};

// A file on its way while it lives: takes one of the places, and is cut off if it stalls.
class Transfer {
 public:
  Transfer(Bounds& bounds, Slots& places, grpc::ServerContextBase& context)
      : bounds_(bounds), slot_(places.Take(context.peer())), watch_(bounds.watchdog, context) {
    Go();
  }
  // Not OK: there is no place; give up.
  const Status& status() const { return slot_.status(); }
  void Sent(size_t bytes) {
    bounds_.traffic.file_sent += bytes;
    Moved(bytes);
  }
  void Received(size_t bytes) {
    bounds_.traffic.file_received += bytes;
    Moved(bytes);
  }
  // So many bytes have moved, here if nowhere else. A trickle does not count as progress.
  void Moved(size_t bytes) {
    moved_ += bytes;
    if (moved_ < kProgressBytes) return;
    moved_ = 0;
    watch_.Arm(bounds_.patience());
  }
  // What follows is our own work, as long as it may take, and then the peer's again.
  void Pause() { watch_.Disarm(); }
  void Go() { watch_.Arm(bounds_.patience()); }

 private:
  static constexpr size_t kProgressBytes = 64 << 10;
  Bounds& bounds_;
  StatusOr<Slots::Slot> slot_;
  Watchdog::Watch watch_;
  size_t moved_ = 0;
};

}  // namespace hatchery::coordinator

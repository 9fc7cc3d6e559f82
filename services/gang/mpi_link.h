// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The calls of MPI that a gang needs, none of which hangs when a rank is dead: each polls, with
// sleeps between (ranks that wait leave the processor to those that compute), and looks after the
// processes of its own machine. Death on another machine is mpirun's to notice: it ends all ranks.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "services/gang/launch.h"

namespace hatchery {

// Not thread-safe, but not bound to a thread either (MPI_THREAD_SERIALIZED).
class MpiLink {
 public:
  // Called again and again while a call waits.
  using Idle = std::function<void()>;

  // Starts MPI, of which there is one a process. `devices`: that this rank may use; the others of
  // its host hear of them.
  static StatusOr<std::unique_ptr<MpiLink>> Open(const std::vector<DeviceId>& devices);
  // Ends MPI, if no rank was lost; all ranks must come here.
  ~MpiLink();
  MpiLink(const MpiLink&) = delete;
  MpiLink& operator=(const MpiLink&) = delete;

  uint32_t rank() const { return rank_; }
  uint32_t size() const { return size_; }
  const LocalPlace& place() const { return place_; }

  // Rank 0's bytes to all.
  Status Broadcast(std::span<std::byte> bytes, const Idle& idle = {});
  // Every rank's bytes, equally many, to all, in rank order.
  Status AllGather(std::span<const std::byte> mine, std::span<std::byte> all,
                   const Idle& idle = {});

  // Give up command `sequence`: rank 0 says so to all others, the others to rank 0.
  void SendGiveUp(uint32_t sequence);
  // Whether that has come; those of other commands came too late and are dropped.
  bool GiveUpCame(uint32_t sequence);

  // kUnavailable if a rank is found to have ended: at rank 0 any, elsewhere rank 0.
  Status CheckPeers();
  // Ends the link for a reason found elsewhere.
  void Fail(Status reason) { (void)Lose(std::move(reason), rank_); }
  // The first error of any call, after which none works; and the rank that ended, if one did.
  const Status& lost() const { return lost_; }
  uint32_t lost_rank() const { return lost_rank_; }

 private:
  struct Peer {
    uint32_t rank;
    std::string host;
    int pid;
  };
  struct Mpi;  // keeps mpi.h out of here

  MpiLink();
  Status Introduce(const std::vector<DeviceId>& devices);
  Status Wait(void* request, const char* what, const Idle& idle);
  Status Lose(Status status, uint32_t rank);

  std::unique_ptr<Mpi> mpi_;
  uint32_t rank_ = 0, size_ = 1;
  LocalPlace place_;
  std::vector<Peer> watched_;
  std::chrono::steady_clock::time_point next_check_{};
  Status lost_;
  uint32_t lost_rank_ = 0;
};

}  // namespace hatchery

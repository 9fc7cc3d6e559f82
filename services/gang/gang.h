// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Gangs under mpirun: ranks, one a GPU or one a part of a machine's processor, that act as one
// replica. Rank 0 alone keeps the journal or speaks to the coordinator; the others do what it says
// (rank_protocol.h). Scores alone travel each step: through NCCL if every rank has a GPU and the
// build has NCCL, else through MPI.
//
// A rank that dies ends the gang: every call at rank 0 then fails with kUnavailable and says which
// rank it was. A rank that fails and lives answers with its Status, which rank 0 returns.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/replica.h"
#include "services/common/backend.h"

namespace hatchery {

class Gang {
 public:
  // The gang that this process was started in by mpirun; null if it was started alone: MPI is then
  // not touched. Every rank calls it, with the same options; this rank's share of the machine (a
  // device, or a part of the threads) follows from them. SIGINT and SIGTERM are for rank 0 to
  // answer: block them first. An error if this build has no MPI, or ranks do not fit together.
  static StatusOr<std::unique_ptr<Gang>> Join(const BackendOptions& options);

  // At rank 0: sends the others home.
  virtual ~Gang() = default;

  virtual uint32_t rank() const = 0;

  // Rank 0: makes replicas that all ranks share; data is sent to the ranks, which need no copy of
  // it. The gang must outlive them. One call at a time, of them and of all their replicas, from
  // whatever thread.
  virtual ReplicaFactory Factory() = 0;

  // Other ranks: does what rank 0 says until rank 0 ends, however it ends.
  virtual void Follow() = 0;

  // Whether a rank has died, and which.
  virtual Status lost() const = 0;
  // `hear` is called once when that is found, on the thread of the call that found it.
  virtual void OnLost(std::function<void(const Status&)> hear) = 0;
};

}  // namespace hatchery

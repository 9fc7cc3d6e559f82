// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "tests/load/ledger.h"
#include "tests/load/timer.h"

namespace hatchery::load {

// What all simulated workers share.
struct Fleet {
  Fleet(std::string where, const JobSpec& job, size_t workers, double seconds)
      : address(std::move(where)), spec(job), pair_seconds(seconds), ledger(job, workers) {}

  const std::string address;
  const JobSpec spec;
  const double pair_seconds;  // that a worker takes over a pair, give or take a fifth
  Ledger ledger;
  std::atomic<size_t> welcomed = 0, ended = 0;
  std::atomic<bool> over = false;  // no more results are sent
  Timer timer;
};

// A worker on a connection of its own that speaks the whole protocol and computes nothing: its
// scores are ScoreOf, its digest a hash of the commits that it heard, and its work is waiting. Like
// a real one it works on one shard at a time, says Ready after every commit, and drops what is
// revoked or too late. gRPC's callbacks, so that it costs no thread.
class SimulatedWorker : public grpc::ClientBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage> {
 public:
  SimulatedWorker(Fleet& fleet, size_t number);

  // Opens the stream. Must be called once, and the stream must have ended before this goes.
  void Start();
  // Reads no more of the stream, but lives: says its heartbeats.
  void Stick();
  // Leaves: the stream ends once the coordinator has heard all that was said. A stuck one reads
  // again.
  void Leave();
  // Breaks the stream off.
  void Abort() { context_.TryCancel(); }

  // How the stream ended, if it did.
  std::optional<grpc::Status> end() const;
  std::string id() const;  // that the coordinator gave it
  // The first thing that was not as it must be; empty if all was well.
  std::string complaint() const;

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  // With mutex_ held:
  void Handle(const v1::CoordinatorMessage& message);
  void Take(const v1::Assign& assign);
  void Take(const v1::Commit& commit);
  void DropLease(uint64_t lease_id);
  void StartNext();
  void Evaluate(const v1::Lease& lease, double seconds);
  void Say(v1::WorkerMessage message);
  void Write();
  void Close();
  void Complain(const std::string& what);

  void Heartbeat();
  void Worked(uint64_t lease_id, double seconds);

  Fleet& fleet_;
  const size_t number_;
  grpc::ClientContext context_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  v1::CoordinatorMessage incoming_;

  mutable std::mutex mutex_;
  std::deque<v1::WorkerMessage> outgoing_;  // the front is being written if writing_
  bool reading_ = false, writing_ = false, stuck_ = false, closed_ = false;
  std::optional<grpc::Status> end_;
  std::string id_, complaint_;
  std::string job_, digest_;
  uint32_t step_ = 0;
  std::deque<v1::Lease> leases_;  // the front is being worked on if working_
  bool working_ = false;
};

}  // namespace hatchery::load

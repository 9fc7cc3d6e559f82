// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What the commands that talk to a coordinator share.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "kernels/status.h"
#include "services/common/connection.h"
#include "services/common/rpc.h"

namespace CLI {
class App;
}

namespace hatchery {

// Options of every such command.
struct OnlineOptions : ConnectionOptions {
  bool json = false;
};
void AddOnlineOptions(CLI::App& command, OnlineOptions& options);

// A coordinator at the other end. Errors are one line, as of StatusOfCall.
class Online {
 public:
  using Stub = v1::ClientService::Stub;

  // An error if certificates or token cannot be used; nothing is connected yet.
  static StatusOr<Online> Open(const OnlineOptions& options);

  Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  bool tls() const { return !way_.tls_ca.empty(); }
  // The error of a call that ended with `status`.
  Status Explain(const grpc::Status& status) const { return StatusOfCall(way_, status); }

  // A call with one answer; kCancelled soon after a stop request.
  template <typename Request, typename Response>
  StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                       Response*),
                          const Request& request, std::stop_token stop = {}) {
    grpc::ClientContext context;
    const CancelOnStop cancel(std::move(stop), context);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(15));
    Response response;
    const grpc::Status status = ((*stub_).*method)(&context, request, &response);
    if (!status.ok()) return Explain(status);
    return response;
  }

 private:
  Online(const OnlineOptions& options, const std::shared_ptr<grpc::Channel>& channel)
      : way_(options), channel_(channel), stub_(v1::ClientService::NewStub(channel)) {}

  ConnectionOptions way_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Stub> stub_;
};

// Follows a job's progress until it ends, from step `from` on (0 and 1: from the first), or from
// now on: a live view on a terminal, else a line a step. Ctrl-C leaves the job as it is.
// kFailedPrecondition if the job was cancelled.
Status WatchJob(const OnlineOptions& options, const std::string& job_id,
                std::optional<uint32_t> from);

// Shows all jobs and connected workers: a live view on a terminal until somebody quits, else once.
Status WatchFleet(const OnlineOptions& options);

// Stores the job's journal, newest checkpoint and, if it has them, initial weights in `directory`,
// as `hatchery train` lays them out. Refuses a directory in use, and one that holds another run or
// more of this one.
Status FetchRun(const OnlineOptions& options, const std::string& job_id,
                const std::string& directory);

}  // namespace hatchery

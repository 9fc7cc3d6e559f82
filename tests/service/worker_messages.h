// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a worker without a model says on its way from Hello to results, for tests that speak the
// protocol themselves.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "hatchery/v1/coordinator.pb.h"

namespace hatchery::test {

// As of a worker of this release.
v1::WorkerMessage HelloOf(const std::string& name);
// To the known-answer task, computed once in this process.
v1::WorkerMessage AnswerTo(const v1::Welcome& welcome);
// Of the weights that the job's seed gives, 16 bytes; empty if the job is malformed.
std::string InitialDigest(const v1::Job& job);
v1::WorkerMessage ReadyAt(const std::string& job_id, uint32_t step, const std::string& digest);
// A result of the lease without its value.
v1::WorkerMessage ResultOf(const v1::Lease& lease, const std::string& digest, double seconds);

// A connection of its own, not shared with others to the same address.
std::shared_ptr<grpc::Channel> OwnChannel(const std::string& address);

}  // namespace hatchery::test

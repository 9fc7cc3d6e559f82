// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A gang is a Replica made of Replicas: its members hold the same weights, split what can be split
// (pairs, held-out streams), and each apply the whole commit. Scores are all that they exchange.
//
// Why the whole commit, when a member could compute a slice of it: of a step on one GPU (egg
// 6 x 256, 131,072 members x 100) the update is 0.9 %. With N GPUs and the same population on each
// it is N times that on every one, so N GPUs do N / (1 + 0.009 (N - 1)) times the work of one: 1.98
// times with two (measured on two H200s: 1.991, so within what clocks vary), 7.5 with eight. Slices
// would save half of that 0.9 % on each of two, less the time to move the weights through the host,
// for a second way to the same bytes; with eight GPUs, or with windows of 25, they would pay.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/replica.h"

namespace hatchery {

enum class GangOp : uint32_t { kEvaluate, kValidate, kDigest, kApply, kInstall, kRestore };

// What all members do together: kEvaluate and kValidate in parts, the rest whole.
struct GangTask {
  GangOp op;
  uint64_t begin = 0, end = 0;         // pairs, streams, or bytes of the replica
  uint32_t step = 0;                   // kRestore
  std::span<const int8_t> bytes = {};  // kInstall, kRestore
  const Commit* commit = nullptr;      // kApply
};

// What it came to at one member.
struct GangOutcome {
  Status status;
  HeldOutSums sums;     // kValidate
  core::Digest digest;  // kDigest
};

// Part `part` of `parts` of a range: contiguous, in order, and none more than one longer than
// another; the longest come first, and the last may be empty.
struct GangPart {
  uint32_t begin, end;
  uint32_t size() const { return end - begin; }
};
GangPart PartOf(uint64_t begin, uint64_t end, uint32_t part, uint32_t parts);

// Does member `member`'s share of `task`. `scores`: two places for every pair of its part.
GangOutcome DoShare(Replica& replica, const GangTask& task, uint32_t member, uint32_t members,
                    std::stop_token stop, std::span<int32_t> scores);

// How a gang reaches its members: threads of this process, or ranks under mpirun.
class GangMembers {
 public:
  virtual ~GangMembers() = default;
  virtual uint32_t size() const = 0;
  // The member of this process that answers what only one has to; lives as long as this.
  virtual Replica& first() = 0;
  // For people: "member 1 (cuda (NVIDIA H200, device 1, fused))".
  virtual std::string Name(uint32_t member) const = 0;
  virtual std::string Description() const = 0;
  // Has every member do its share; one outcome each, in order. kEvaluate fills `scores`, two places
  // a pair of the task. If one fails, the others may be stopped, with kCancelled.
  virtual std::vector<GangOutcome> Do(const GangTask& task, std::stop_token stop,
                                      std::span<int32_t> scores) = 0;
};

// The gang of these members, which hold equal replicas.
std::unique_ptr<Replica> GangOf(std::unique_ptr<GangMembers> members);

// Makes one member, on the thread that will drive it.
using MakeMember = std::function<StatusOr<std::unique_ptr<Replica>>()>;
// A gang whose members are driven by threads of this process, each its own. `makers` make replicas
// of the same job and data, at the same step; there is at least one.
StatusOr<std::unique_ptr<Replica>> CreateGang(const std::vector<MakeMember>& makers);

// The ordinals that `text` lists: "0,2". An error names what is not a number or comes twice.
StatusOr<std::vector<int>> ParseDevices(const std::string& text);

// A replica on each of these devices, made by `make`, as a gang; on one device, just that replica.
StatusOr<std::unique_ptr<Replica>> CreateGang(
    const std::vector<int>& devices,
    const std::function<StatusOr<std::unique_ptr<Replica>>(int device)>& make);

// Descriptions of members in one line: joined by " + ", or the first and how many more.
std::string JoinDescriptions(std::span<const std::string> descriptions);

}  // namespace hatchery

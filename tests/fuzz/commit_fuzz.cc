// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A commit as it comes to a worker, from its stream or fetched: whatever passes the checks is
// applied to a tiny replica, and one replica that took it is as good as another.
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"
#include "services/common/backend.h"
#include "services/common/convert.h"
#include "services/common/job.h"

namespace hatchery {
namespace {

constexpr uint32_t kPopulation = 40;

JobSpec TinySpec() {
  JobSpec spec;
  spec.hidden = 8;
  spec.layers = 1;
  spec.population = kPopulation;
  return spec;
}

std::unique_ptr<Replica> MakeReplica() {
  auto replica = CreateReplica(TinySpec(), {}, {.name = "cpu", .threads = 1});
  if (!replica.ok()) std::abort();
  return std::move(*replica);
}

// A good commit of step 0 with some bytes merged in.
v1::Commit Spoil(std::string_view bytes, bool* parsed) {
  v1::Commit commit;
  commit.set_fitness(std::string(kPopulation / 2 / 5, '\x79'));
  commit.set_alpha(65536);
  commit.set_z_score(1);
  commit.set_digest_before(std::string(16, 'd'));
  *parsed = commit.MergeFromString(std::string(bytes));
  return commit;
}

void Run(std::string_view bytes) {
  static const std::unique_ptr<Replica> replica = MakeReplica();
  static const std::vector<int8_t> initial = *replica->Snapshot();
  bool parsed = false;
  const v1::Commit proto = Spoil(bytes, &parsed);
  if (!parsed) return;
  const auto wire = CommitFromProto(proto);
  if (!wire.ok()) return;
  const Commit& commit = wire->commit;
  if (!CheckFitness(commit.encoding, commit.fitness, kPopulation / 2).ok()) return;
  std::vector<int8_t> after[2];
  for (std::vector<int8_t>& weights : after) {
    if (!replica->Restore(0, initial).ok()) std::abort();
    if (!replica->Apply(commit).ok()) return;
    weights = *replica->Snapshot();
  }
  if (after[0] != after[1]) std::abort();
}

}  // namespace
}  // namespace hatchery

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hatchery::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}

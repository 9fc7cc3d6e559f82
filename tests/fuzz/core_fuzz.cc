// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The coordinator core with two honest workers and one that says anything: before its Hello, while
// it proves itself, with a lease in hand, during audits, disputes and checkpoints. A message may
// be a good one with some bytes merged in, so that it is wrong in one field only.
#include "tests/coordinator/fake_world.h"
#include "tests/fuzz/input.h"

namespace hatchery::coordinator {
namespace {

enum Step { kSay, kSayAlmost, kWork, kSync, kJudge, kWait, kLeave, kJoin, kSteps };

// What the liar would say if it were honest, spoilt by `bytes`.
void SayAlmost(FakeWorld& world, const v1::Lease& lease, const std::string& bytes) {
  if (lease.job_id().empty()) return;  // it has had none
  v1::WorkerMessage message = world.ResultFor(world.workers["liar"], lease);
  if (message.MergeFromString(bytes)) world.Say("liar", message);
}

void Run(fuzz::Input input) {
  CoreOptions options;
  if (input.Byte() & 1) options.audit_share = 0.5;
  FakeWorld world(options);
  world.Submit("1", FakeWorld::MakeJob(3, 40));
  for (const char* id : {"a", "b", "liar"}) world.Join(id);
  v1::Lease lease;
  for (int i = 0; i < 200 && !input.empty(); ++i) {
    for (const auto& message : world.workers["liar"].inbox)
      if (message.has_lease()) lease = message.lease();
    switch (const uint8_t code = input.Byte(); code % kSteps) {
      case kSay: {
        v1::WorkerMessage message;
        if (message.ParseFromString(input.Bytes())) world.Say("liar", message);
        break;
      }
      case kSayAlmost:
        SayAlmost(world, lease, input.Bytes());
        break;
      case kWork:
        world.Work(code & 8 ? "a" : code & 16 ? "b" : "liar");
        break;
      case kSync:
        world.Sync();
        break;
      case kJudge:
        world.Judge();
        break;
      case kWait:
        world.now += 1 << (code / kSteps % 16);
        world.Do(world.core.Tick(world.now));
        break;
      case kLeave:
        world.Leave("liar");
        break;
      case kJoin:
        world.Leave("liar");
        world.Join("liar");
        break;
    }
  }
}

}  // namespace
}  // namespace hatchery::coordinator

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hatchery::coordinator::Run({data, size});
  return 0;
}

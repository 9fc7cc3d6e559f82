// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The worker's session with a coordinator that says anything, and a shell that answers its work
// with success, failure or nonsense.
#include <algorithm>

#include "services/worker/session.h"
#include "tests/fuzz/input.h"

namespace hatchery::worker {
namespace {

enum Step { kSay, kComplete, kFail, kTick, kBreak, kSteps };

void Run(fuzz::Input input) {
  WorkerSession session({v1::Hello(), "fuzz", 0});
  int64_t now = 0;
  int running = 0;
  bool connected = false, connecting = false, ended = false;
  const auto handle = [&](const Event& event) {
    for (const Action& action : session.Handle(now, event)) {
      running += std::holds_alternative<Start>(action);
      connecting |= std::holds_alternative<Connect>(action);
      ended |= std::holds_alternative<Exit>(action);
    }
  };
  handle(Tick{});
  while (!input.empty() && !ended) {
    if (connecting && !connected) {
      connecting = false;
      connected = true;
      handle(Connected{});
    }
    const uint8_t code = input.Byte();
    Completed completed;
    switch (code % kSteps) {
      case kSay: {
        Received received;
        if (received.message.ParseFromString(input.Bytes()) && connected) handle(received);
        break;
      }
      case kComplete:
      case kFail:
        if (running == 0) break;
        --running;
        if (code % kSteps == kFail)
          completed.status = {static_cast<StatusCode>(1 + code / kSteps % 8), "fuzz"};
        completed.step = input.Byte() % 4;
        completed.digest = std::string(16, 'd');
        handle(completed);
        break;
      case kTick:
        now += 1 << (code / kSteps % 16);
        handle(Tick{});
        break;
      case kBreak:
        if (!connected) break;
        connected = false;
        handle(Disconnected{Unavailable("fuzz")});
        break;
    }
  }
}

}  // namespace
}  // namespace hatchery::worker

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hatchery::worker::Run({data, size});
  return 0;
}

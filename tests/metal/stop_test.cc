// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A request to stop ends an evaluation that runs.
#include <gtest/gtest.h>

#include <chrono>
#include <stop_token>
#include <thread>

#include "metal/metal_replica.h"
#include "tests/metal/shim/shim_device.h"
#include "tests/oracle/expect_same.h"

namespace hatchery {
namespace {

TEST(MetalStop, AStopTokenCancels) {
  JobSpec spec = SmallSpec();
  spec.window = 3000;
  const auto train = RandomText(4000, 1), held_out = RandomText(90, 2);
  MetalOptions options;
  options.work = 1;  // a part a token
  auto replica = CreateMetalReplica(shim::MakeDevice(), spec, {train, held_out}, options);
  ASSERT_TRUE(replica.ok());
  std::stop_source stop;
  std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    stop.request_stop();
  });
  std::vector<int32_t> scores(spec.population);
  EXPECT_EQ((*replica)->Evaluate({0, spec.pairs()}, stop.get_token(), scores).code(),
            StatusCode::kCancelled);
  EXPECT_EQ((*replica)->Validate(0, 3, stop.get_token()).status().code(), StatusCode::kCancelled);
  // And the replica is as good as before.
  const auto fresh = CreateMetalReplica(shim::MakeDevice(), spec, {train, held_out});
  EXPECT_TRUE(*(*replica)->Validate(0, 3, {}) == *(*fresh)->Validate(0, 3, {}));
}

// All parts are handed over before the first runs, so that those after the request run too: they
// must end at once, and leave the activations as they are.
TEST(MetalStop, PartsAfterARequestToStopDoNothing) {
  for (const bool far : {false, true}) {
    JobSpec spec = SmallSpec();
    spec.burn_in = 0;
    spec.window = 6;
    const auto train = RandomText(400, 1);
    MetalOptions options;
    options.far = far;
    options.work = 1;  // a part a token
    std::stop_source stop;
    std::vector<std::vector<std::byte>> found;  // by each part
    shim::DeviceSettings settings;
    settings.before = [&](const apple::Batch& batch) {
      if (batch[0].kernel != (far ? apple::Kernel::kEvaluateFar : apple::Kernel::kEvaluateNear))
        return;
      apple::Buffer& scratch = *batch[0].buffers[3].buffer;
      found.emplace_back(scratch.data(), scratch.data() + scratch.size());
      if (found.size() == 3) stop.request_stop();
    };
    const auto replica = CreateMetalReplica(shim::MakeDevice(settings), spec, {train, {}}, options);
    ASSERT_TRUE(replica.ok()) << replica.status().message();
    std::vector<int32_t> scores(spec.population);
    EXPECT_EQ((*replica)->Evaluate({0, spec.pairs()}, stop.get_token(), scores).code(),
              StatusCode::kCancelled);
    ASSERT_EQ(found.size(), 6u);
    EXPECT_TRUE(found[1] != found[2]);  // before the request they work
    for (size_t part = 3; part < found.size(); ++part)
      EXPECT_TRUE(found[part] == found[2]) << "part " << part << (far ? ", far" : "");
  }
}

}  // namespace
}  // namespace hatchery

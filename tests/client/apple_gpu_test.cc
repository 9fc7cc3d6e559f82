// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What --backend auto and the doctor make of an Apple GPU that serves, and of one that is refused.
// It is this program that says what Metal has: OpenMetal here takes the place of the library's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "services/common/backend.h"
#include "services/doctor/checks.h"
#include "tests/metal/shim/shim_device.h"

namespace hatchery {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

Status refusal;  // of the GPU; OK: it is the shim
shim::DeviceSettings gpu;

}  // namespace

StatusOr<std::unique_ptr<apple::Device>> apple::OpenMetal() {
  if (!refusal.ok()) return refusal;
  return shim::MakeDevice(gpu);
}

namespace {

class AppleGpu : public testing::Test {
 protected:
  AppleGpu() {
    setenv("CUDA_VISIBLE_DEVICES", "", 1);  // which auto would take first
    unsetenv("HATCHERY_DISABLE_GPU");
    refusal = {};
    gpu = {};
    spec_.hidden = 8;
    spec_.layers = 1;
    options_.on_gpu_refused = [this](const std::string& line) { lines_.push_back(line); };
  }

  // What a replica says of itself, or why there is none.
  std::string Made() {
    const auto replica = CreateReplica(spec_, {}, options_);
    return replica.ok() ? (*replica)->Description() : replica.status().message();
  }

  JobSpec spec_;
  BackendOptions options_;
  std::vector<std::string> lines_;
};

TEST_F(AppleGpu, ServesWhereNothingElseIsAskedFor) {
  EXPECT_THAT(Made(), StartsWith("metal (Shim"));
  EXPECT_EQ(doctor::CheckMetal().at(0).verdict, doctor::Verdict::kOk);
  EXPECT_THAT(doctor::CheckMetal().at(0).text, StartsWith("Shim"));
  setenv("HATCHERY_DISABLE_GPU", "1", 1);
  EXPECT_THAT(Made(), StartsWith("cpu"));
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(AppleGpu, ThatIsNotThereIsNotMissed) {
  refusal = NotFound("Metal finds no GPU");
  EXPECT_THAT(Made(), StartsWith("cpu"));
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(AppleGpu, ThatIsRefusedLeavesTheWorkToTheCpuWhichIsToldOnce) {
  refusal = InternalError("Metal does not compile the kernels: no reason given");
  EXPECT_THAT(Made(), StartsWith("cpu"));
  EXPECT_THAT(Made(), StartsWith("cpu"));
  EXPECT_THAT(lines_, ElementsAre("the GPU is refused, the CPU does the work: Metal does not "
                                  "compile the kernels: no reason given"));
  const doctor::Check check = doctor::CheckMetal().at(0);
  EXPECT_EQ(check.verdict, doctor::Verdict::kWarn);
  EXPECT_EQ(check.text, "refused: " + refusal.message());
}

TEST_F(AppleGpu, ThatRoundsIsRefusedToo) {
  gpu.wrong_products = true;
  EXPECT_THAT(Made(), StartsWith("cpu"));
  EXPECT_THAT(doctor::CheckMetal().at(0).text, HasSubstr("do not add int8 products exactly"));
}

TEST_F(AppleGpu, AskedForByNameMustServe) {
  options_.name = "metal";
  EXPECT_THAT(Made(), StartsWith("metal (Shim"));
  refusal = FailedPrecondition("Metal refuses kernel EvaluateNear");
  EXPECT_EQ(Made(), refusal.message());
  refusal = {};
  gpu.wrong_products = true;
  EXPECT_THAT(Made(), HasSubstr("do not add int8 products exactly"));
  EXPECT_THAT(lines_, IsEmpty());
}

// As of a CUDA device: it is the model that does not fit, and the CPU would take many times as
// long.
TEST_F(AppleGpu, TooSmallForAModelIsAnError) {
  spec_.hidden = 256;
  gpu.memory_bytes = 200'000;
  EXPECT_THAT(Made(), HasSubstr("no room"));
}

}  // namespace
}  // namespace hatchery

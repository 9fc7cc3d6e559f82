// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Several GPUs as one replica. Skipped with fewer than two.
#include "kernels/gang.h"

#include <gtest/gtest.h>

#include "cpu_fallback/cpu_replica.h"
#include "kernels/core/philox.h"
#include "kernels/cuda/cuda_replica.h"

namespace hatchery {
namespace {

std::vector<uint8_t> Text(size_t size, uint64_t key) {
  std::vector<uint8_t> text(size);
  for (size_t i = 0; i < size; ++i)
    text[i] = static_cast<uint8_t>('a' + core::Philox({static_cast<uint32_t>(i), 0, 0, 0}, key).w0 %
                                             26 % (1 + i % 9));
  return text;
}

JobSpec Spec(uint32_t hidden, uint32_t layers, uint32_t population) {
  JobSpec spec;
  spec.hidden = hidden;
  spec.layers = layers;
  spec.population = population;
  spec.window = 9;
  spec.held_out_streams = 7;
  return spec;
}

class CudaGang : public testing::TestWithParam<JobSpec> {
 protected:
  void SetUp() override {
    if (CudaDeviceCount() < 2) GTEST_SKIP() << "fewer than two CUDA devices on this machine";
  }
  const std::vector<uint8_t> train_ = Text(3000, 1), held_out_ = Text(150, 2);
};

TEST_P(CudaGang, TrainsToTheBytesOfTheCpu) {
  const JobSpec& spec = GetParam();
  const DataView data{train_, held_out_};
  std::vector<int> devices;
  for (int device = 0; device < CudaDeviceCount(); ++device) devices.push_back(device);
  auto made = CreateGang(devices, [&](int device) {
    CudaOptions options;
    options.device = device;
    return CreateCudaReplica(spec, data, options);
  });
  ASSERT_TRUE(made.ok()) << made.status().message();
  Replica& gang = **made;
  const auto cpu = std::move(*CreateCpuReplica(spec, data));
  for (uint32_t step = 0; step < 3; ++step) {
    std::vector<int32_t> scores(spec.population), same(spec.population);
    ASSERT_TRUE(cpu->Evaluate({0, spec.pairs()}, {}, scores).ok());
    ASSERT_TRUE(gang.Evaluate({0, spec.pairs()}, {}, same).ok());
    ASSERT_EQ(scores, same) << "step " << step;
    ASSERT_EQ(*gang.Validate(0, 7, {}), *cpu->Validate(0, 7, {}));
    const Commit commit = MakeSignCommit(spec, step, EncodeSigns(scores));
    ASSERT_TRUE(cpu->Apply(commit).ok());
    ASSERT_TRUE(gang.Apply(commit).ok());
    const auto digest = gang.DigestOfAll();
    ASSERT_TRUE(digest.ok()) << digest.status().message();
    ASSERT_TRUE(*digest == *cpu->DigestOfAll());
  }
}

// Fused kernels and the reference's; one pair for two devices.
INSTANTIATE_TEST_SUITE_P(Jobs, CudaGang,
                         testing::Values(Spec(256, 2, 2 * 193), Spec(96, 3, 100), Spec(256, 1, 2)));

}  // namespace
}  // namespace hatchery

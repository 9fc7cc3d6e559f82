// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Evaluations that take several launches, and what a stop request does to them. Skipped without a
// GPU.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "cpu_fallback/cpu_replica.h"
#include "kernels/core/philox.h"
#include "kernels/cuda/cuda_replica.h"

namespace hatchery {
namespace {

std::vector<uint8_t> Text(size_t size) {
  std::vector<uint8_t> text(size);
  for (size_t i = 0; i < size; ++i)
    text[i] = static_cast<uint8_t>('a' + core::Philox({static_cast<uint32_t>(i), 0, 0, 0}, 3).w0 %
                                             26 % (1 + i % 9));
  return text;
}

class Launches : public testing::TestWithParam<CudaKernels> {
 protected:
  void SetUp() override {
    if (CudaDeviceCount() == 0) GTEST_SKIP() << "no CUDA device on this machine";
  }

  // A job whose rounds are short: the shape that each kind of kernels is meant for, few tokens.
  static JobSpec Spec() {
    JobSpec spec;
    spec.hidden = GetParam() == CudaKernels::kAuto ? 256 : 32;
    spec.layers = 1;
    spec.window = 2;
    return spec;
  }
  // Launches of one round each.
  static StatusOr<std::unique_ptr<Replica>> Create(const JobSpec& spec, DataView data) {
    CudaOptions options;
    options.kernels = GetParam();
    options.tokens_at_once = 1;
    return CreateCudaReplica(spec, data, options);
  }
  static uint32_t RoundPairs() {
    const auto replica = Create(Spec(), {});
    EXPECT_TRUE(replica.ok()) << replica.status().message();
    return replica.ok() ? (*replica)->RoundPairs() : 1;
  }
};

// Three rounds and a bit, of pairs and of streams, and not from the first on.
TEST_P(Launches, ManyMakeTheWhole) {
  JobSpec spec = Spec();
  spec.population = 2 * (3 * RoundPairs() + 8);
  spec.held_out_streams = spec.population;
  const std::vector<uint8_t> train = Text(3000), held_out = Text(3 * spec.held_out_streams + 1);
  const DataView data{train, held_out};
  const auto cpu = std::move(*CreateCpuReplica(spec, data));
  const auto cuda = Create(spec, data);
  ASSERT_TRUE(cuda.ok()) << cuda.status().message();
  const Shard shard{5, spec.pairs()};
  std::vector<int32_t> expected(2 * size_t{shard.pairs()}), scores(expected.size(), 12345);
  ASSERT_TRUE(cpu->Evaluate(shard, {}, expected).ok());
  const Status evaluated = (*cuda)->Evaluate(shard, {}, scores);
  ASSERT_TRUE(evaluated.ok()) << evaluated.message();
  EXPECT_EQ(scores, expected);
  const auto sums = (*cuda)->Validate(3, spec.held_out_streams, {});
  ASSERT_TRUE(sums.ok()) << sums.status().message();
  EXPECT_EQ(*sums, *cpu->Validate(3, spec.held_out_streams, {}));
}

TEST_P(Launches, AStopComesBetweenThemAndHarmsNothing) {
  JobSpec spec = Spec();
  spec.window = 64;
  spec.population = 1 << 24;  // seconds and more, were it not stopped
  spec.held_out_streams = 1 << 20;
  const std::vector<uint8_t> train = Text(3000), held_out = Text(2 * spec.held_out_streams);
  const DataView data{train, held_out};
  const auto cuda = Create(spec, data);
  ASSERT_TRUE(cuda.ok()) << cuda.status().message();
  const auto cpu = std::move(*CreateCpuReplica(spec, data));
  const auto expect_parity = [&] {
    std::vector<int32_t> expected(60), scores(60);
    ASSERT_TRUE(cpu->Evaluate({7, 37}, {}, expected).ok());
    ASSERT_TRUE((*cuda)->Evaluate({7, 37}, {}, scores).ok());
    EXPECT_EQ(scores, expected);
    EXPECT_EQ(*(*cuda)->Validate(9, 30, {}), *cpu->Validate(9, 30, {}));
    EXPECT_EQ((*cuda)->step(), 0u);
    EXPECT_TRUE(*(*cuda)->DigestOfAll() == *cpu->DigestOfAll());
  };
  expect_parity();

  std::stop_source source;
  std::vector<int32_t> scores(spec.population);
  const auto start = std::chrono::steady_clock::now();
  const std::jthread stopper([&source] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    source.request_stop();
  });
  EXPECT_EQ((*cuda)->Evaluate({0, spec.pairs()}, source.get_token(), scores).code(),
            StatusCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_EQ((*cuda)->Validate(0, spec.held_out_streams, source.get_token()).status().code(),
            StatusCode::kCancelled);
  expect_parity();
}

INSTANTIATE_TEST_SUITE_P(Cuda, Launches,
                         testing::Values(CudaKernels::kReference, CudaKernels::kMma,
                                         CudaKernels::kAuto),
                         [](const auto& test_info) -> std::string {
                           return test_info.param == CudaKernels::kReference ? "Reference"
                                  : test_info.param == CudaKernels::kMma     ? "Mma"
                                                                             : "Auto";
                         });

}  // namespace
}  // namespace hatchery

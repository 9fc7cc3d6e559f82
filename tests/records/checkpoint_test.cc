// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/checkpoint.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "kernels/model.h"
#include "services/common/run_dir.h"
#include "tests/records/small_job.h"
#include "tests/records/temporary_directory.h"

namespace hatchery {
namespace {

std::vector<int8_t> Weights(const v1::Job& job) {
  const JobSpec spec = *SpecFromJob(job);
  return InitialWeights(Model(spec), spec.seed);
}

TEST(Checkpoint, RoundTrip) {
  v1::Job job = SmallJob();
  job.mutable_model()->set_hidden(13);  // tensors whose sizes are no multiple of 8
  const auto weights = Weights(job);
  const auto back = DecodeCheckpoint(EncodeCheckpoint(job, 480, weights), "memory");
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(back->step, 480u);
  EXPECT_EQ(back->weights, weights);
  EXPECT_TRUE(back->digest == DigestOfBytes(weights, 0));
  EXPECT_EQ(JobToJson(back->job), JobToJson(job));
}

TEST(Checkpoint, IsASafetensorsFile) {
  const v1::Job job = SmallJob();
  const std::string bytes = EncodeCheckpoint(job, 1, Weights(job));
  uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), 8);
  const auto header = nlohmann::json::parse(bytes.substr(8, header_bytes));
  EXPECT_EQ(header["embedding"]["dtype"], "I8");
  EXPECT_EQ(header["embedding"]["shape"], nlohmann::json({256, 16}));
  EXPECT_EQ(header["layers.0.bf"]["shape"], nlohmann::json::array({16}));
  uint64_t end = 0;
  for (const auto& [name, entry] : header.items())
    if (name != "__metadata__") end = std::max(end, entry["data_offsets"][1].get<uint64_t>());
  EXPECT_EQ(8 + header_bytes + end, bytes.size());
}

TEST(Checkpoint, EveryTruncationIsRefused) {
  const v1::Job job = SmallJob();
  const std::string bytes = EncodeCheckpoint(job, 1, Weights(job));
  for (size_t size = 0; size < bytes.size(); size += size < 100 ? 1 : 37) {
    const auto back = DecodeCheckpoint(std::string_view(bytes).substr(0, size), "a.safetensors");
    ASSERT_EQ(back.status().code(), StatusCode::kDataLoss) << size;
    EXPECT_EQ(back.status().message().find("a.safetensors"), 0u);
  }
  EXPECT_FALSE(DecodeCheckpoint(bytes + "x", "a").ok());
}

TEST(Checkpoint, EveryFlippedBitIsRefusedInOneLine) {
  const v1::Job job = SmallJob();
  const std::string bytes = EncodeCheckpoint(job, 1, Weights(job));
  uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), 8);
  const auto expect_refused = [&](size_t at, int bit) {
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
    const auto back = DecodeCheckpoint(flipped, "a");
    ASSERT_FALSE(back.ok()) << "bit " << bit << " of byte " << at;
    EXPECT_EQ(back.status().message().find('\n'), std::string::npos) << back.status().message();
  };
  for (size_t at = 0; at < 8 + header_bytes; ++at)
    for (int bit = 0; bit < 8; ++bit) expect_refused(at, bit);
  for (size_t at = 8 + header_bytes; at < bytes.size(); at += 3)
    expect_refused(at, static_cast<int>(at % 8));
}

TEST(RunDir, KeepsTheNewest) {
  const TemporaryDirectory directory;
  const RunDir run(PosixDisk(), directory / "run");
  ASSERT_TRUE(run.Create().ok());
  EXPECT_FALSE(run.NewestCheckpoint()->has_value());
  for (uint32_t step : {10u, 20u, 30u, 4000000000u})
    ASSERT_TRUE(run.StoreCheckpoint(step, "bytes", 2).ok());
  EXPECT_EQ(*run.Checkpoints(), (std::vector<uint32_t>{30, 4000000000u}));
  EXPECT_EQ(run.NewestCheckpoint()->value(), 4000000000u);
  EXPECT_EQ(run.NewestCheckpoint(100)->value(), 30u);
  EXPECT_FALSE(run.NewestCheckpoint(29)->has_value());
}

}  // namespace
}  // namespace hatchery

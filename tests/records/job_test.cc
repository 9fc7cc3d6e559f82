// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/convert.h"
#include "services/common/crc32c.h"
#include "services/common/disk.h"
#include "services/common/sha256.h"
#include "tests/records/small_job.h"
#include "tests/records/temporary_directory.h"

namespace hatchery {
namespace {

using testing::HasSubstr;

TEST(Job, DefaultsAreTheSpecs) {
  const auto spec = SpecFromJob(DefaultJob());
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  EXPECT_EQ(*spec, JobSpec());
}

TEST(Job, JsonRoundTrip) {
  v1::Job job = SmallJob();
  job.mutable_noise()->set_seed(UINT64_MAX);
  const auto back = JobFromJson(JobToJson(job));
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(back->SerializeAsString(), job.SerializeAsString());
  EXPECT_FALSE(JobFromJson("{\"colour\": 3}").ok());
  EXPECT_FALSE(JobFromJson("[").ok());
}

TEST(Job, ErrorsNameFieldValueAndRange) {
  ASSERT_TRUE(ValidateJob(SmallJob()).ok());
  auto error = [](auto change) {
    v1::Job job = SmallJob();
    change(job);
    return ValidateJob(job).message();
  };
  EXPECT_EQ(error([](v1::Job& j) { j.mutable_noise()->set_rank(9); }),
            "noise.rank is 9; it must be in [1, 8]");
  EXPECT_EQ(error([](v1::Job& j) { j.set_window(0); }),
            "window is 0 bytes; it must be in [1, 16384]");
  EXPECT_THAT(error([](v1::Job& j) { j.mutable_noise()->set_sigma_shift(5); }),
              HasSubstr("sigma_shift"));
  EXPECT_THAT(error([](v1::Job& j) { j.set_group_size(48); }), HasSubstr("population"));
  EXPECT_EQ(error([](v1::Job& j) { j.set_priority(-1001); }),
            "priority is -1001; it must be in [-1000, 1000]");
  EXPECT_THAT(
      error([](v1::Job& j) { j.mutable_model()->set_kind(static_cast<v1::Model::Kind>(7)); }),
      HasSubstr("model.kind is 7"));
  EXPECT_THAT(error([](v1::Job& j) { j.mutable_train()->set_end(3); }), HasSubstr("3 bytes"));
  EXPECT_THAT(error([](v1::Job& j) { j.mutable_train()->set_end(999999); }),
              HasSubstr("inside the file"));
  EXPECT_THAT(error([](v1::Job& j) { j.mutable_train()->set_sha256("ABC"); }),
              HasSubstr("train.sha256"));
  EXPECT_THAT(error([](v1::Job& j) { j.set_held_out_streams(400); }),
              HasSubstr("held_out_streams"));
  EXPECT_THAT(error([](v1::Job& j) { j.set_name("a\nb"); }), HasSubstr("name"));
  EXPECT_THAT(error([](v1::Job& j) { j.set_initial_digest("00"); }), HasSubstr("initial_"));
}

TEST(Job, SameRunIgnoresServiceFieldsOnly) {
  v1::Job other = SmallJob();
  other.set_name("other");
  other.set_checkpoint_every(1);
  other.set_priority(-3);
  EXPECT_TRUE(CheckSameRun(SmallJob(), other).ok());
  other.set_validate_every(1);  // in the commits
  EXPECT_FALSE(CheckSameRun(SmallJob(), other).ok());
  other.set_validate_every(SmallJob().validate_every());
  other.mutable_update()->set_alpha_decay_bits(2);
  EXPECT_EQ(CheckSameRun(SmallJob(), other).message(),
            "update.alpha_decay_bits is 4 here and 2 there");
}

TEST(Convert, CommitsAndDigests) {
  const core::Digest digest{0x0123456789abcdef, 42};
  EXPECT_TRUE(*DigestFromBytes(DigestToBytes(digest)) == digest);
  EXPECT_FALSE(DigestFromBytes("short").ok());
  Commit commit{7, FitnessEncoding::kInt8, {1, 2, 255}, 9, 10};
  const auto back = CommitFromProto(CommitToProto(commit, digest));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->commit, commit);
  EXPECT_TRUE(back->digest_before == digest);
  const HeldOutSums sums{-8192, -16, 1, 2};
  EXPECT_EQ(HeldOutFromProto(HeldOutToProto(sums)), sums);
  EXPECT_EQ(BitsPerByte(sums.score, sums.tokens), 1.0);
  EXPECT_EQ(CoarseBitsPerByte(sums), 0.5);
  EXPECT_EQ(Accuracy(sums), 0.5);
}

TEST(Hashes, KnownAnswers) {
  // RFC 3720, B.4; FIPS 180-2, appendix B.
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c("56789", Crc32c("1234")), 0xE3069283u);
  EXPECT_EQ(ToHex(Sha256Of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Disk, LockIsExclusiveWhileHeld) {
  const TemporaryDirectory directory;
  {
    const auto lock = PosixDisk().Lock(directory.path(), "coordinator");
    ASSERT_TRUE(lock.ok());
    const auto second = PosixDisk().Lock(directory.path(), "coordinator");
    EXPECT_THAT(second.status().message(), HasSubstr("another coordinator uses"));
  }
  EXPECT_TRUE(PosixDisk().Lock(directory.path(), "coordinator").ok());
}

TEST(Disk, FilesAndDirectories) {
  const TemporaryDirectory directory;
  Disk& disk = PosixDisk();
  ASSERT_TRUE(disk.CreateDirectory(directory / "a/b").ok());
  ASSERT_TRUE(disk.CreateDirectory(directory / "a/b").ok());
  ASSERT_TRUE(disk.WriteAtomically(directory / "a/b/file", "one").ok());
  ASSERT_TRUE(disk.WriteAtomically(directory / "a/b/file", "two").ok());
  EXPECT_EQ(*ReadWholeFile(disk, directory / "a/b/file"), "two");
  EXPECT_EQ(*disk.List(directory / "a/b"), std::vector<std::string>{"file"});
  EXPECT_FALSE(disk.CreateDirectory(directory / "a/b/file").ok());
#if defined(__linux__)
  // Neither /proc nor /sys can be synced, as the file system around a mount point may not.
  for (const std::string there : {"/proc/self", "/sys/kernel"}) {
    EXPECT_TRUE(disk.CreateDirectory(there).ok()) << there;
  }
#endif
  EXPECT_THAT(disk.CreateDirectory("/dev/null/here").message(), HasSubstr("/dev/null/here"));
  EXPECT_FALSE(disk.WriteAtomically("/dev/null", "y").ok());
  EXPECT_EQ(disk.OpenAppend(directory / "none").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(disk.OpenRead(directory.path()).ok(), false);
  ASSERT_TRUE(disk.Remove(directory / "a/b/file").ok());
  EXPECT_FALSE(disk.Exists(directory / "a/b/file"));
  EXPECT_EQ(disk.WriteAtomically("/dev/full/x", "y").ok(), false);
}

TEST(Disk, AFullDeviceSaysSo) {
  auto full = PosixDisk().OpenAppend("/dev/full");
  ASSERT_TRUE(full.ok());
  const Status status = (*full)->Append("x");
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("/dev/full"));
}

}  // namespace
}  // namespace hatchery

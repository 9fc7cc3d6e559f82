// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/journal.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "kernels/core/trits.h"
#include "tests/records/faulty_disk.h"
#include "tests/records/small_job.h"
#include "tests/records/temporary_directory.h"

namespace hatchery {
namespace {

using Outcome = JournalReader::Outcome;

CommitRecord MakeCommit(uint32_t step, bool held_out) {
  const auto spec = SpecFromJob(SmallJob());
  CommitRecord record;
  record.commit = MakeSignCommit(
      *spec, step, std::vector<uint8_t>(core::TritBytes(spec->pairs()) - 1, uint8_t(step % 243)));
  record.commit.fitness.push_back(1 + 81 + 27 + 9 + 3);  // 32 pairs: the last byte holds two, zero
  record.digest_before = {step * 17u, ~uint64_t{step}};
  record.score_sum = -123456789012 - step;
  record.scored_tokens = 64 * 8;
  record.nonzero_pairs = 30;
  if (held_out) record.held_out = HeldOutSums{-1000 - step, -10, step, 396};
  return record;
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// A journal of an event, four commits and a closing record, and the offsets where records end.
struct Sample {
  std::vector<JournalRecord> records;
  std::vector<uint64_t> ends;
  std::string bytes;
};

Sample WriteSample(const std::string& path) {
  Sample sample;
  auto writer = JournalWriter::Create(PosixDisk(), path, {SmallJob(), {1, 2}, "test"});
  EXPECT_TRUE(writer.ok()) << writer.status().message();
  sample.ends.push_back((*writer)->bytes());
  auto append = [&](const auto& record) {
    EXPECT_TRUE((*writer)->Append(record).ok());
    EXPECT_TRUE((*writer)->Sync().ok());
    sample.records.push_back(record);
    sample.ends.push_back((*writer)->bytes());
  };
  append(EventRecord{1700000000123, 0, "started", "with\ttext"});
  for (uint32_t step = 0; step < 4; ++step) append(MakeCommit(step, step % 3 == 0));
  append(ClosingRecord{4, {5, 6}, HeldOutSums{-1, -2, 3, 4}});
  sample.bytes = *ReadWholeFile(PosixDisk(), path);
  return sample;
}

// Reads until the end, a torn tail or an error.
struct ReadBack {
  std::vector<JournalRecord> records;
  Outcome outcome = Outcome::kEnd;
  Status status;
};

ReadBack ReadAll(const std::string& path) {
  ReadBack back;
  auto reader = JournalReader::Open(PosixDisk(), path);
  back.status = reader.status();
  while (back.status.ok()) {
    JournalRecord record;
    const auto outcome = (*reader)->Next(record);
    back.status = outcome.status();
    if (!outcome.ok()) break;
    back.outcome = *outcome;
    if (*outcome != Outcome::kRecord) break;
    back.records.push_back(record);
  }
  return back;
}

TEST(Journal, RoundTrip) {
  const TemporaryDirectory directory;
  const std::string path = directory / "journal.hatchery";
  const Sample sample = WriteSample(path);
  const ReadBack back = ReadAll(path);
  ASSERT_TRUE(back.status.ok()) << back.status.message();
  EXPECT_EQ(back.outcome, Outcome::kEnd);
  EXPECT_EQ(back.records, sample.records);
  EXPECT_EQ(sample.bytes.size(), sample.ends.back());

  const auto reader = JournalReader::Open(PosixDisk(), path);
  EXPECT_EQ(JobToJson((*reader)->header().job), JobToJson(SmallJob()));
  EXPECT_TRUE((*reader)->header().initial_digest == (core::Digest{1, 2}));
  EXPECT_EQ((*reader)->header().software, "test");
}

TEST(Journal, EveryTruncationIsSeen) {
  const TemporaryDirectory directory;
  const Sample sample = WriteSample(directory / "whole");
  const std::string path = directory / "cut";
  for (uint64_t size = 0; size < sample.bytes.size(); ++size) {
    WriteFile(path, sample.bytes.substr(0, size));
    const ReadBack back = ReadAll(path);
    if (size < sample.ends[0]) {
      EXPECT_EQ(back.status.code(), StatusCode::kDataLoss) << size;
      continue;
    }
    ASSERT_TRUE(back.status.ok()) << size << ": " << back.status.message();
    const size_t whole = static_cast<size_t>(
        std::upper_bound(sample.ends.begin(), sample.ends.end(), size) - sample.ends.begin() - 1);
    EXPECT_EQ(back.records.size(), whole) << size;
    EXPECT_EQ(back.outcome, size == sample.ends[whole] ? Outcome::kEnd : Outcome::kTornTail)
        << size;
  }
}

TEST(Journal, EveryFlippedByteIsSeen) {
  const TemporaryDirectory directory;
  const Sample sample = WriteSample(directory / "whole");
  const std::string path = directory / "flipped";
  for (size_t at = 0; at < sample.bytes.size(); ++at) {
    std::string bytes = sample.bytes;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
    WriteFile(path, bytes);
    const ReadBack back = ReadAll(path);
    ASSERT_FALSE(back.status.ok()) << "flip at byte " << at;
    EXPECT_NE(back.status.message().find(path), std::string::npos);
  }
}

TEST(Journal, DamageNamesRecordAndByte) {
  const TemporaryDirectory directory;
  const Sample sample = WriteSample(directory / "whole");
  std::string bytes = sample.bytes;
  bytes[sample.ends[2] + 40] ^= 4;
  WriteFile(directory / "flipped", bytes);
  const ReadBack back = ReadAll(directory / "flipped");
  EXPECT_EQ(back.status.code(), StatusCode::kDataLoss);
  EXPECT_EQ(back.records.size(), 2u);
  const std::string place = "record 3 at byte " + std::to_string(sample.ends[2]);
  EXPECT_NE(back.status.message().find(place), std::string::npos) << back.status.message();
}

TEST(Journal, ARecordOfAnotherJournalDoesNotFit) {
  const TemporaryDirectory directory;
  const Sample sample = WriteSample(directory / "whole");
  // Commits 1 and 2 exchanged: every CRC is right.
  auto part = [&](size_t i) {
    return sample.bytes.substr(sample.ends[i], sample.ends[i + 1] - sample.ends[i]);
  };
  WriteFile(directory / "swapped", sample.bytes.substr(0, sample.ends[2]) + part(3) + part(2));
  EXPECT_NE(ReadAll(directory / "swapped").status.message().find("chain"), std::string::npos);
}

TEST(Journal, GoesOnAfterATornTail) {
  const TemporaryDirectory directory;
  const Sample sample = WriteSample(directory / "whole");
  const std::string path = directory / "torn";
  for (const std::string& tail : {sample.bytes.substr(sample.ends[2], 50), std::string(70, '\0'),
                                  std::string(300'000, '\0')}) {
    WriteFile(path, sample.bytes.substr(0, sample.ends[2]) + tail);
    EXPECT_EQ(JournalWriter::OpenForAppend(PosixDisk(), path, JournalWriter::TornTail::kRefuse)
                  .status()
                  .code(),
              StatusCode::kDataLoss);
    size_t seen = 0;
    auto writer = JournalWriter::OpenForAppend(
        PosixDisk(), path, JournalWriter::TornTail::kTruncate, [&](const JournalRecord&) {
          ++seen;
          return Status();
        });
    ASSERT_TRUE(writer.ok()) << writer.status().message();
    EXPECT_EQ(seen, 2u);
    EXPECT_EQ((*writer)->torn_bytes(), tail.size());
    EXPECT_EQ((*writer)->next_step(), 1u);
    for (size_t i = 2; i < sample.records.size(); ++i)
      std::visit([&](const auto& record) { EXPECT_TRUE((*writer)->Append(record).ok()); },
                 sample.records[i]);
    ASSERT_TRUE((*writer)->Sync().ok());
    EXPECT_EQ(*ReadWholeFile(PosixDisk(), path), sample.bytes);
  }
}

TEST(Journal, ZerosWithSomethingBehindThemAreDamage) {
  const TemporaryDirectory directory;
  const Sample sample = WriteSample(directory / "whole");
  const std::string path = directory / "damaged";
  WriteFile(path, sample.bytes.substr(0, sample.ends[2]) + std::string(300'000, '\0') + "x");
  EXPECT_EQ(ReadAll(path).status.code(), StatusCode::kDataLoss);
}

// It would wait for its other end.
TEST(Journal, APipeInItsPlaceIsRefused) {
  const TemporaryDirectory directory;
  const std::string path = directory / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_NE(ReadAll(path).status.message().find("not a regular file"), std::string::npos);
  EXPECT_FALSE(PosixDisk().OpenAppend(path).ok());
}

TEST(Journal, RefusesWhatCannotFollow) {
  const TemporaryDirectory directory;
  const std::string path = directory / "journal.hatchery";
  const Sample sample = WriteSample(path);
  EXPECT_EQ(JournalWriter::Create(PosixDisk(), path, {SmallJob(), {}, ""}).status().code(),
            StatusCode::kAlreadyExists);
  auto closed = JournalWriter::OpenForAppend(PosixDisk(), path, JournalWriter::TornTail::kRefuse);
  ASSERT_TRUE(closed.ok());
  EXPECT_FALSE((*closed)->Append(MakeCommit(4, false)).ok());
  auto fresh = JournalWriter::Create(PosixDisk(), directory / "fresh", {SmallJob(), {}, ""});
  EXPECT_FALSE((*fresh)->Append(MakeCommit(1, false)).ok());
  EXPECT_TRUE((*fresh)->Append(MakeCommit(0, false)).ok());
}

TEST(Journal, AGrowingFileIsReadFurther) {
  const TemporaryDirectory directory;
  const std::string path = directory / "journal.hatchery";
  auto writer = JournalWriter::Create(PosixDisk(), path, {SmallJob(), {}, ""});
  auto reader = JournalReader::Open(PosixDisk(), path);
  JournalRecord record;
  EXPECT_EQ(*(*reader)->Next(record), Outcome::kEnd);
  ASSERT_TRUE((*writer)->Append(MakeCommit(0, true)).ok());
  EXPECT_EQ(*(*reader)->Next(record), Outcome::kRecord);
  EXPECT_EQ(record, JournalRecord(MakeCommit(0, true)));
  EXPECT_EQ(*(*reader)->Next(record), Outcome::kEnd);
}

// Files on a disk that has `room` bytes left.
struct FullDiskFile : AppendFile {
  FullDiskFile(std::unique_ptr<AppendFile> file, uint64_t& left)
      : file_(std::move(file)), room(left) {}
  Status Append(std::string_view bytes) override {
    const uint64_t fits = std::min<uint64_t>(room, bytes.size());
    room -= fits;
    HATCHERY_RETURN_IF_ERROR(file_->Append(bytes.substr(0, fits)));
    return fits == bytes.size() ? Status() : ResourceExhausted("no room");
  }
  Status Sync() override { return file_->Sync(); }
  Status Truncate(uint64_t size) override { return file_->Truncate(size); }
  Status Rewrite(uint64_t offset, std::string_view bytes) override {
    return file_->Rewrite(offset, bytes);
  }
  std::unique_ptr<AppendFile> file_;
  uint64_t& room;
};

struct FullDisk : OwnDisk {
  uint64_t room = 0;
  StatusOr<std::unique_ptr<AppendFile>> OpenAppend(const std::string& path) override {
    HATCHERY_ASSIGN_OR_RETURN(auto file, PosixDisk().OpenAppend(path));
    return std::unique_ptr<AppendFile>(std::make_unique<FullDiskFile>(std::move(file), room));
  }
};

// A journal with one durable commit and one that is not.
class Unsynced : public testing::Test {
 protected:
  void SetUp() override {
    auto writer = JournalWriter::Create(disk_, path_, {SmallJob(), {}, ""});
    disk_.cache.size = disk_.cache.durable = (*writer)->bytes();
    ASSERT_TRUE((*writer)->Append(MakeCommit(0, false)).ok());
    ASSERT_TRUE((*writer)->Sync().ok());
    ASSERT_TRUE((*writer)->Append(MakeCommit(1, false)).ok());
    writer_ = std::move(*writer);
  }
  void ExpectDurableOnceOpened(uint32_t commits = 2) {
    writer_.reset();
    ASSERT_LT(disk_.cache.durable, disk_.cache.size);
    const std::string before = ReadFileBytes();
    const auto writer =
        JournalWriter::OpenForAppend(disk_, path_, JournalWriter::TornTail::kRefuse);
    ASSERT_TRUE(writer.ok()) << writer.status().message();
    EXPECT_EQ((*writer)->next_step(), commits);
    EXPECT_EQ(disk_.cache.durable, disk_.cache.size);
    EXPECT_EQ(ReadFileBytes(), before);
  }
  std::string ReadFileBytes() const { return *ReadWholeFile(PosixDisk(), path_); }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_ / "journal";
  ForgetfulDisk disk_;
  std::unique_ptr<JournalWriter> writer_;
};

TEST_F(Unsynced, WhatADeadWriterLeftIsDurableOnceOpened) { ExpectDurableOnceOpened(); }

// However seldom its user does.
TEST_F(Unsynced, AWriterSyncsBeforeMoreIsUnsyncedThanIsSeenTo) {
  disk_.cache.fails = true;
  uint32_t commits = 2;
  while (commits < 20 && writer_->Append(MakeCommit(commits, false)).ok()) ++commits;
  EXPECT_FALSE(writer_->Sync().ok());
  ExpectDurableOnceOpened(commits);
}

TEST_F(Unsynced, SoIsWhatAFailedSyncForgot) {
  disk_.cache.fails = true;
  EXPECT_FALSE(writer_->Sync().ok());
  EXPECT_FALSE(writer_->Sync().ok());  // and no later one may say that it is
  ExpectDurableOnceOpened();
}

TEST(Journal, AFullDiskLosesNothing) {
  const TemporaryDirectory directory;
  FullDisk disk;
  for (disk.room = 0; disk.room < 150;) {
    const uint64_t room = disk.room;
    const std::string path = directory / std::to_string(room);
    auto writer = JournalWriter::Create(disk, path, {SmallJob(), {}, ""});
    const uint64_t before = (*writer)->bytes();
    const Status status = (*writer)->Append(MakeCommit(0, false));
    if (status.ok()) break;
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
    EXPECT_EQ((*writer)->bytes(), before);
    EXPECT_EQ(ReadAll(path).outcome, Outcome::kEnd);
    disk.room = 10000;
    EXPECT_TRUE((*writer)->Append(MakeCommit(0, false)).ok());
    EXPECT_EQ(ReadAll(path).records.size(), 1u);
    disk.room = room + 7;
  }
}

}  // namespace
}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Runs of the small job on disk, to be damaged, repaired, copied and gone on with.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>

#include "services/common/backend.h"
#include "services/common/run_dir.h"
#include "services/trainer/trainer.h"
#include "services/upkeep/fsck.h"
#include "tests/records/small_job.h"
#include "tests/records/temporary_directory.h"

namespace hatchery {

class StoredRuns : public testing::Test {
 protected:
  static StatusOr<std::unique_ptr<Replica>> CpuReplica(const JobSpec& spec) {
    return CreateReplica(spec, {}, {"cpu", 1});
  }

  std::unique_ptr<Replica> TrainingReplica() const {
    const v1::Job job = SmallJob();
    const std::span<const uint8_t> all(reinterpret_cast<const uint8_t*>(text_.data()),
                                       text_.size());
    const DataView view{all.first(job.train().end()), all.subspan(job.held_out().begin())};
    return std::move(*CreateReplica(*SpecFromJob(job), view, {"cpu", 1}));
  }

  // Trains in DIR/`name` up to step `until`; the digest there.
  std::string Train(const std::string& name, uint32_t until = UINT32_MAX) const {
    std::stop_source stop;
    const auto replica = TrainingReplica();
    TrainerOptions options;
    options.on_step = [&](const StepReport& report) {
      if (report.step >= until) stop.request_stop();
    };
    auto trainer = Trainer::Open(PosixDisk(), Path(name), SmallJob(), *replica, options);
    EXPECT_TRUE(trainer.ok()) << trainer.status().message();
    if (!trainer.ok()) return "";
    const Status status = (*trainer)->Run(stop.get_token());
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kCancelled) << status.message();
    return FormatDigest(*replica->DigestOfAll());
  }

  struct Checked {
    Status status;
    FsckResult result;
    std::vector<FileReport> files;
    // "STATE-NUMBER text" of every file, for messages and matchers.
    std::string text;
  };
  Checked Check(const std::string& name, bool repair = false, bool deep = false) const {
    Checked checked;
    FsckOptions options;
    options.repair = repair;
    if (deep) options.new_replica = CpuReplica;
    options.on_file = [&](const FileReport& file) {
      checked.files.push_back(file);
      checked.text += file.path + ": " + file.text + "\n";
    };
    const auto result = Fsck(PosixDisk(), Path(name), options);
    checked.status = result.status();
    if (result.ok()) checked.result = *result;
    return checked;
  }

  std::string Path(const std::string& name) const { return directory_ / name; }
  std::string Journal(const std::string& name) const { return Path(name) + "/journal.hatchery"; }
  std::string Checkpoint(const std::string& name, uint32_t step) const {
    return RunDir(PosixDisk(), Path(name)).checkpoint_path(step);
  }
  void Copy(const std::string& from, const std::string& to) const {
    std::filesystem::remove_all(Path(to));
    std::filesystem::copy(Path(from), Path(to), std::filesystem::copy_options::recursive);
  }
  static std::string Read(const std::string& path) { return *ReadWholeFile(PosixDisk(), path); }
  static void Write(const std::string& path, const std::string& bytes) {
    ASSERT_TRUE(PosixDisk().WriteAtomically(path, bytes).ok());
  }
  static void FlipBit(const std::string& path, uint64_t byte, int bit) {
    std::string bytes = Read(path);
    bytes.at(byte) = static_cast<char>(bytes.at(byte) ^ (1 << bit));
    Write(path, bytes);
  }

  TemporaryDirectory directory_;
  std::string text_ = SmallText();
};

}  // namespace hatchery

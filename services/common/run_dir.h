// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "services/common/checkpoint.h"
#include "services/common/disk.h"

namespace hatchery {

// The files of one run, as `hatchery train`, the coordinator (one per job) and `hatchery fetch`
// lay them out:
//   DIR/journal.hatchery
//   DIR/checkpoints/step-0000000480.safetensors
//   DIR/initial.safetensors     if the job starts from given weights
class RunDir {
 public:
  // `disk` must outlive this.
  RunDir(Disk& disk, std::string directory) : disk_(&disk), directory_(std::move(directory)) {}

  const std::string& path() const { return directory_; }
  std::string journal_path() const { return directory_ + "/journal.hatchery"; }
  std::string initial_path() const { return directory_ + "/initial.safetensors"; }
  std::string checkpoint_path(uint32_t step) const;
  bool HasJournal() const { return disk_->Exists(journal_path()); }

  // Creates the directories.
  Status Create() const;
  // Steps of the stored checkpoints, ascending.
  StatusOr<std::vector<uint32_t>> Checkpoints() const;
  // The newest at or before `step`; nothing if there is none.
  StatusOr<std::optional<uint32_t>> NewestCheckpoint(uint32_t step = UINT32_MAX) const;
  // A stored checkpoint, as its file holds it and decoded.
  struct Stored {
    std::string bytes;
    Checkpoint checkpoint;
  };
  // The one of this step. kDataLoss if it is damaged, or is of another step than its name says.
  StatusOr<Stored> Read(uint32_t step) const;
  // What else a checkpoint must be, besides intact; and who hears of one that is passed over.
  using Usable = std::function<Status(const Checkpoint&)>;
  using Skipped = std::function<void(const std::string& path, const Status& why)>;
  // The newest at or before `step` whose file is intact and usable; others are passed over, for
  // the journal makes up for them. Nothing if there is none.
  StatusOr<std::optional<Stored>> NewestSound(uint32_t step = UINT32_MAX, const Usable& usable = {},
                                              const Skipped& skipped = {}) const;
  // Stores an encoded checkpoint (EncodeCheckpoint), durably, then removes all but the newest
  // `keep`.
  Status StoreCheckpoint(uint32_t step, std::string_view bytes, uint32_t keep) const;

 private:
  std::string checkpoints_path() const { return directory_ + "/checkpoints"; }
  Disk* disk_;
  std::string directory_;
};

}  // namespace hatchery

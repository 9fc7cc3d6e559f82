// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A disk in memory that knows what is durable, fails when told to, and loses at a power cut what
// was not synced.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "services/common/disk.h"
#include "tests/simulation/random.h"

namespace hatchery::simulation {

class SimDisk : public Disk {
 public:
  explicit SimDisk(uint64_t seed) : random_(seed) {}

  // ---- Faults ----
  bool full = false;     // nothing more can be written: a prefix is, then kResourceExhausted
  bool failing = false;  // whatever is written or synced fails one time in two, a read in twenty
  bool lying = false;    // syncs, of files and of directories, say OK and do nothing
  bool rewrites_lost = false;   // what a failed sync forgot is not written once more
  bool names_unsynced = false;  // a new directory is not synced into its parent
  // Unsynced bytes survive as a prefix of any length, its last byte perhaps garbled. So do, in each
  // directory on its own, the creations, renames and removals since its last sync.
  void PowerCut();
  // Flips one bit of a file whose path contains `part`; false if there is none.
  bool Rot(const std::string& part);

  // What would be left of a file after a power cut that kills every unsynced byte.
  std::string DurableBytes(const std::string& path) const;

  StatusOr<std::unique_ptr<AppendFile>> OpenAppend(const std::string& path) override;
  StatusOr<std::unique_ptr<ReadFile>> OpenRead(const std::string& path) override;
  Status WriteAtomically(const std::string& path, std::string_view bytes) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  StatusOr<std::vector<std::string>> List(const std::string& directory) override;
  bool Exists(const std::string& path) override;
  Status CreateDirectory(const std::string& path) override;
  Status SyncName(const std::string& path) override;
  StatusOr<std::unique_ptr<DirectoryLock>> Lock(const std::string& directory,
                                                const std::string& who) override;

 private:
  struct File {
    std::string bytes;
    std::string durable;
    // What is below, but not durable, is written by no sync: one failed, and the system believes
    // that it was written.
    size_t forgotten = 0;
  };
  using FilePtr = std::shared_ptr<File>;
  using Names = std::map<std::string, FilePtr>;  // by path; null: a directory
  // What one call does to the names of one directory, all at once: a file, a directory, or nothing
  // any more.
  using Change = std::vector<std::pair<std::string, std::optional<FilePtr>>>;
  class Appender;
  class Reader;
  class Holder;
  Status MayFail(const std::string& path);
  FilePtr Find(const std::string& path) const;  // null: there is no such file
  static void Apply(const Change& change, Names& names);
  void Alter(const std::string& directory, Change change);
  Status SyncNames(const std::string& directory);

  Random random_;
  Names names_, durable_names_;
  std::map<std::string, std::vector<Change>> unsynced_;  // by directory
  std::set<std::string> locked_;
};

}  // namespace hatchery::simulation

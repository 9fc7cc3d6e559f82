// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A disk in memory that knows what is durable, fails when told to, and loses at a power cut what
// was not synced.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "services/common/disk.h"
#include "tests/simulation/random.h"

namespace hatchery::simulation {

class SimDisk : public Disk {
 public:
  explicit SimDisk(uint64_t seed) : random_(seed) {}

  // ---- Faults ----
  bool full = false;      // nothing more can be written: a prefix is, then kResourceExhausted
  bool failing = false;   // writes, syncs and reads fail, each one in two
  bool lying = false;     // Sync says OK and does nothing
  // Unsynced bytes survive as a prefix of any length, its last byte perhaps garbled.
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
  StatusOr<std::unique_ptr<DirectoryLock>> Lock(const std::string& directory,
                                                const std::string& who) override;

 private:
  struct File {
    std::string bytes;
    std::string durable;
  };
  class Appender;
  class Reader;
  class Holder;
  Status MayFail(const std::string& path);

  Random random_;
  std::map<std::string, std::shared_ptr<File>> files_;
  std::set<std::string> directories_;
  std::set<std::string> locked_;
};

}  // namespace hatchery::simulation

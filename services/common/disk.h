// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The little that we ask of a file system, as an interface: the real one is PosixDisk, and a
// simulator can put a failing one in its place. Errors name the path; a full disk is
// kResourceExhausted and says what to do.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"

namespace hatchery {

// A file that only grows, held open. One user at a time.
class AppendFile {
 public:
  virtual ~AppendFile() = default;
  // Writes all of `bytes` at the end, or fails having written any prefix of them.
  virtual Status Append(std::string_view bytes) = 0;
  // Returns once everything appended is on stable storage.
  virtual Status Sync() = 0;
  // Cuts the file to `size` bytes; later appends go there.
  virtual Status Truncate(uint64_t size) = 0;
  // Writes bytes that are in the file already, at `offset`, once more. After a failed sync a system
  // may hold what it could not write for written (Linux does), and the next sync then says OK.
  virtual Status Rewrite(uint64_t offset, std::string_view bytes) = 0;
};

// A file read at any offset, held open.
class ReadFile {
 public:
  virtual ~ReadFile() = default;
  // Bytes [offset, offset + size), fewer where the file ends first.
  virtual StatusOr<std::string> Read(uint64_t offset, uint64_t size) = 0;
  virtual StatusOr<uint64_t> Size() = 0;
};

// Held for as long as it lives; the kernel drops it when the process dies.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

class Disk {
 public:
  virtual ~Disk() = default;

  // Opens `path` for appending at its end; kNotFound if it does not exist.
  virtual StatusOr<std::unique_ptr<AppendFile>> OpenAppend(const std::string& path) = 0;
  virtual StatusOr<std::unique_ptr<ReadFile>> OpenRead(const std::string& path) = 0;
  // Creates or replaces `path` so that after a crash it holds either the old bytes or all the new
  // ones; durable on return.
  virtual Status WriteAtomically(const std::string& path, std::string_view bytes) = 0;
  // Renames a file within a directory, durably.
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Remove(const std::string& path) = 0;  // a power cut may bring it back
  // Names of the entries of a directory, sorted.
  virtual StatusOr<std::vector<std::string>> List(const std::string& directory) = 0;
  virtual bool Exists(const std::string& path) = 0;
  // Creates a directory and its parents, durably; fine if it exists.
  virtual Status CreateDirectory(const std::string& path) = 0;
  // Makes the name of a file or directory durable, whoever gave it.
  virtual Status SyncName(const std::string& path) = 0;
  // Locks a directory against other processes; `who` names us in the error of the one that comes
  // second: "another WHO uses DIR". Creates the file DIR/lock.
  virtual StatusOr<std::unique_ptr<DirectoryLock>> Lock(const std::string& directory,
                                                        const std::string& who) = 0;
};

// The disk of this machine. Thread-safe.
Disk& PosixDisk();

// All bytes of a file.
StatusOr<std::string> ReadWholeFile(Disk& disk, const std::string& path);

}  // namespace hatchery

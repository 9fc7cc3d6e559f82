// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Disks that fail in ways of their own, on top of this machine's.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/common/disk.h"

namespace hatchery {

// This machine's disk, but for the files that are appended to.
struct OwnDisk : Disk {
  StatusOr<std::unique_ptr<ReadFile>> OpenRead(const std::string& path) override {
    return PosixDisk().OpenRead(path);
  }
  Status WriteAtomically(const std::string& path, std::string_view bytes) override {
    return PosixDisk().WriteAtomically(path, bytes);
  }
  Status Rename(const std::string& a, const std::string& b) override {
    return PosixDisk().Rename(a, b);
  }
  Status Remove(const std::string& path) override { return PosixDisk().Remove(path); }
  StatusOr<std::vector<std::string>> List(const std::string& path) override {
    return PosixDisk().List(path);
  }
  bool Exists(const std::string& path) override { return PosixDisk().Exists(path); }
  Status CreateDirectory(const std::string& path) override {
    return PosixDisk().CreateDirectory(path);
  }
  Status SyncName(const std::string& path) override { return PosixDisk().SyncName(path); }
  StatusOr<std::unique_ptr<DirectoryLock>> Lock(const std::string& path,
                                                const std::string& who) override {
    return PosixDisk().Lock(path, who);
  }
};

// A disk that keeps the end of a file from its syncs, as Linux does after one that failed.
struct Cache {
  uint64_t size = 0, durable = 0, forgotten = 0;  // bytes; those below `forgotten` are not written
  bool fails = false;                             // the next sync
};
struct ForgetfulFile : AppendFile {
  ForgetfulFile(std::unique_ptr<AppendFile> own, Cache& own_cache)
      : file(std::move(own)), cache(own_cache) {}
  Status Append(std::string_view bytes) override {
    cache.size += bytes.size();
    return file->Append(bytes);
  }
  Status Sync() override {
    if (std::exchange(cache.fails, false)) {
      cache.forgotten = cache.size;
      return InternalError("input/output error");
    }
    if (cache.forgotten <= cache.durable) cache.durable = cache.size;
    return {};
  }
  Status Truncate(uint64_t size) override {
    cache.size = size;
    return file->Truncate(size);
  }
  Status Rewrite(uint64_t offset, std::string_view bytes) override {
    cache.forgotten = std::min(cache.forgotten, offset);
    return file->Rewrite(offset, bytes);
  }
  std::unique_ptr<AppendFile> file;
  Cache& cache;
};
struct ForgetfulDisk : OwnDisk {
  Cache cache;
  StatusOr<std::unique_ptr<AppendFile>> OpenAppend(const std::string& path) override {
    HATCHERY_ASSIGN_OR_RETURN(auto file, PosixDisk().OpenAppend(path));
    return std::unique_ptr<AppendFile>(std::make_unique<ForgetfulFile>(std::move(file), cache));
  }
};

}  // namespace hatchery

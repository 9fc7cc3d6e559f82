// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Data files, known by their SHA-256.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "hatchery/v1/job.pb.h"
#include "kernels/replica.h"
#include "kernels/status.h"
#include "services/common/sha256.h"

namespace hatchery {

// A file of this machine, mapped read-only.
class MappedFile {
 public:
  static StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const uint8_t> bytes() const { return bytes_; }
  std::string Sha256Hex() const;

 private:
  MappedFile(std::string path, std::span<const uint8_t> bytes)
      : path_(std::move(path)), bytes_(bytes) {}
  std::string path_;
  std::span<const uint8_t> bytes_;
};

// What a job reads, held in memory by mapping.
class Dataset {
 public:
  // `train` and `held_out` (null if the job has none; may be the same file) must have the sizes
  // and hashes that the job names.
  static StatusOr<Dataset> Open(const v1::Job& job, std::shared_ptr<const MappedFile> train,
                                std::shared_ptr<const MappedFile> held_out);
  // Valid for as long as this dataset, or a copy of it, lives.
  DataView view() const { return view_; }

 private:
  std::shared_ptr<const MappedFile> train_, held_out_;
  DataView view_;
};

// A directory of files named by their SHA-256: a coordinator's uploads, a worker's cache.
class FileStore {
 public:
  explicit FileStore(std::string directory) : directory_(std::move(directory)) {}

  std::string PathOf(const std::string& sha256) const { return directory_ + "/" + sha256; }
  bool Has(const std::string& sha256) const;
  // kNotFound if it is not stored. The hash was checked when the file came in, and is again here.
  StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& sha256) const;
  // Both splits of a job from this store.
  StatusOr<Dataset> OpenDataset(const v1::Job& job) const;

  // A file on its way in. Dropped without Finish, it leaves nothing behind.
  class Incoming {
   public:
    ~Incoming();
    Status Append(std::string_view bytes);
    uint64_t bytes() const { return bytes_; }
    // kDataLoss if the bytes hash to something else than `sha256`, and nothing is stored.
    Status Finish(const std::string& sha256);

   private:
    friend class FileStore;
    Incoming(std::string directory, std::string path, int fd);
    std::string directory_, path_;
    int fd_;
    uint64_t bytes_ = 0;
    Sha256 hash_;
  };
  StatusOr<std::unique_ptr<Incoming>> Receive() const;

 private:
  std::string directory_;
};

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_disk.h"

#include <algorithm>

namespace hatchery::simulation {

class SimDisk::Appender : public AppendFile {
 public:
  Appender(SimDisk& disk, std::string path, std::shared_ptr<File> file)
      : disk_(disk), path_(std::move(path)), file_(std::move(file)) {}

  Status Append(std::string_view bytes) override {
    const Status failure = disk_.MayFail(path_);
    if (!failure.ok()) {  // having written any prefix
      const auto size = static_cast<int64_t>(bytes.size());
      file_->bytes += bytes.substr(0, static_cast<size_t>(disk_.random_.Between(0, size)));
      return failure;
    }
    file_->bytes += bytes;
    return {};
  }
  Status Sync() override {
    if (disk_.failing && disk_.random_.OneIn(2)) return InternalError("cannot sync " + path_);
    if (!disk_.lying) file_->durable = file_->bytes;
    return {};
  }
  Status Truncate(uint64_t size) override {
    if (disk_.failing && disk_.random_.OneIn(2)) return InternalError("cannot truncate " + path_);
    file_->bytes.resize(size);
    return {};
  }

 private:
  SimDisk& disk_;
  std::string path_;
  std::shared_ptr<File> file_;
};

class SimDisk::Reader : public ReadFile {
 public:
  Reader(SimDisk& disk, std::string path, std::shared_ptr<File> file)
      : disk_(disk), path_(std::move(path)), file_(std::move(file)) {}
  StatusOr<std::string> Read(uint64_t offset, uint64_t size) override {
    if (disk_.failing && disk_.random_.OneIn(20)) return InternalError("cannot read " + path_);
    return offset >= file_->bytes.size() ? std::string() : file_->bytes.substr(offset, size);
  }
  StatusOr<uint64_t> Size() override { return file_->bytes.size(); }

 private:
  SimDisk& disk_;
  std::string path_;
  std::shared_ptr<File> file_;
};

class SimDisk::Holder : public DirectoryLock {
 public:
  Holder(SimDisk& disk, std::string directory) : disk_(disk), directory_(std::move(directory)) {}
  ~Holder() override { disk_.locked_.erase(directory_); }

 private:
  SimDisk& disk_;
  std::string directory_;
};

Status SimDisk::MayFail(const std::string& path) {
  if (full) return ResourceExhausted("the disk of " + path + " is full");
  if (failing && random_.OneIn(2)) return InternalError("cannot write " + path);
  return {};
}

void SimDisk::PowerCut() {
  for (auto& [path, file] : files_) {
    if (file->bytes == file->durable) continue;
    const bool grew = file->bytes.starts_with(file->durable);
    std::string left = file->durable;
    if (grew) {
      const auto more = static_cast<int64_t>(file->bytes.size() - left.size());
      left = file->bytes.substr(0, left.size() + static_cast<size_t>(random_.Between(0, more)));
      if (left.size() > file->durable.size() && random_.OneIn(3))
        left.back() = static_cast<char>(left.back() ^ 0x55);
    }
    file->bytes = file->durable = left;
  }
}

bool SimDisk::Rot(const std::string& part) {
  std::vector<std::shared_ptr<File>> found;
  for (auto& [path, file] : files_)
    if (path.find(part) != std::string::npos && !file->bytes.empty()) found.push_back(file);
  if (found.empty()) return false;
  File& file = *found[static_cast<size_t>(random_.Between(0, static_cast<int64_t>(found.size()) - 1))];
  const auto at = static_cast<size_t>(random_.Between(0, static_cast<int64_t>(file.bytes.size()) - 1));
  const char bit = static_cast<char>(1 << random_.Between(0, 7));
  file.bytes[at] = static_cast<char>(file.bytes[at] ^ bit);
  if (at < file.durable.size()) file.durable[at] = file.bytes[at];
  return true;
}

std::string SimDisk::DurableBytes(const std::string& path) const {
  const auto at = files_.find(path);
  return at == files_.end() ? "" : at->second->durable;
}

StatusOr<std::unique_ptr<AppendFile>> SimDisk::OpenAppend(const std::string& path) {
  const auto at = files_.find(path);
  if (at == files_.end()) return NotFound("cannot open " + path);
  return std::unique_ptr<AppendFile>(std::make_unique<Appender>(*this, path, at->second));
}

StatusOr<std::unique_ptr<ReadFile>> SimDisk::OpenRead(const std::string& path) {
  const auto at = files_.find(path);
  if (at == files_.end()) return NotFound("cannot open " + path);
  return std::unique_ptr<ReadFile>(std::make_unique<Reader>(*this, path, at->second));
}

Status SimDisk::WriteAtomically(const std::string& path, std::string_view bytes) {
  HATCHERY_RETURN_IF_ERROR(MayFail(path));
  auto file = std::make_shared<File>();
  file->bytes = file->durable = std::string(bytes);
  files_[path] = std::move(file);
  return {};
}

Status SimDisk::Rename(const std::string& from, const std::string& to) {
  const auto at = files_.find(from);
  if (at == files_.end()) return NotFound("cannot rename " + from);
  files_[to] = at->second;
  files_.erase(from);
  return {};
}

Status SimDisk::Remove(const std::string& path) {
  return files_.erase(path) == 1 ? Status() : NotFound("cannot remove " + path);
}

StatusOr<std::vector<std::string>> SimDisk::List(const std::string& directory) {
  if (!directories_.contains(directory)) return NotFound("cannot list " + directory);
  std::set<std::string> names;
  const std::string prefix = directory + "/";
  const auto add = [&](const std::string& path) {
    if (path.starts_with(prefix)) names.insert(path.substr(prefix.size(), path.find('/', prefix.size()) - prefix.size()));
  };
  for (const auto& [path, file] : files_) add(path);
  for (const std::string& path : directories_) add(path);
  return std::vector<std::string>(names.begin(), names.end());
}

bool SimDisk::Exists(const std::string& path) {
  return files_.contains(path) || directories_.contains(path);
}

Status SimDisk::CreateDirectory(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    directories_.insert(path.substr(0, slash));
  directories_.insert(path);
  return {};
}

StatusOr<std::unique_ptr<DirectoryLock>> SimDisk::Lock(const std::string& directory,
                                                       const std::string& who) {
  if (!locked_.insert(directory).second)
    return FailedPrecondition("another " + who + " uses " + directory);
  return std::unique_ptr<DirectoryLock>(std::make_unique<Holder>(*this, directory));
}

}  // namespace hatchery::simulation

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_disk.h"

#include <algorithm>

namespace hatchery::simulation {
namespace {

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

class SimDisk::Appender : public AppendFile {
 public:
  Appender(SimDisk& disk, std::string path, FilePtr file)
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
    if (disk_.failing && disk_.random_.OneIn(2)) {
      file_->forgotten = file_->bytes.size();
      return InternalError("cannot sync " + path_);
    }
    const bool hole = file_->forgotten > file_->durable.size();
    if (!disk_.lying && !hole) file_->durable = file_->bytes;
    return {};
  }
  Status Truncate(uint64_t size) override {
    if (disk_.failing && disk_.random_.OneIn(2)) return InternalError("cannot truncate " + path_);
    file_->bytes.resize(size);
    file_->forgotten = std::min<size_t>(file_->forgotten, size);
    return {};
  }
  Status Rewrite(uint64_t offset, std::string_view bytes) override {
    if (disk_.failing && disk_.random_.OneIn(2)) return InternalError("cannot write " + path_);
    if (file_->bytes.substr(offset, bytes.size()) != bytes) return InternalError("other bytes");
    if (!disk_.rewrites_lost) file_->forgotten = std::min<size_t>(file_->forgotten, offset);
    return {};
  }

 private:
  SimDisk& disk_;
  std::string path_;
  FilePtr file_;
};

class SimDisk::Reader : public ReadFile {
 public:
  Reader(SimDisk& disk, std::string path, FilePtr file)
      : disk_(disk), path_(std::move(path)), file_(std::move(file)) {}
  StatusOr<std::string> Read(uint64_t offset, uint64_t size) override {
    if (disk_.failing && disk_.random_.OneIn(20)) return InternalError("cannot read " + path_);
    return offset >= file_->bytes.size() ? std::string() : file_->bytes.substr(offset, size);
  }
  StatusOr<uint64_t> Size() override { return file_->bytes.size(); }

 private:
  SimDisk& disk_;
  std::string path_;
  FilePtr file_;
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

SimDisk::FilePtr SimDisk::Find(const std::string& path) const {
  const auto at = names_.find(path);
  return at == names_.end() ? nullptr : at->second;
}

void SimDisk::Apply(const Change& change, Names& names) {
  for (const auto& [path, now] : change) {
    if (now)
      names[path] = *now;
    else
      names.erase(path);
  }
}

void SimDisk::Alter(const std::string& directory, Change change) {
  Apply(change, names_);
  unsynced_[directory].push_back(std::move(change));
}

Status SimDisk::SyncNames(const std::string& directory) {
  if (failing && random_.OneIn(2)) return InternalError("cannot sync directory " + directory);
  if (lying) return {};
  for (const Change& change : unsynced_[directory]) Apply(change, durable_names_);
  unsynced_.erase(directory);
  return {};
}

Status SimDisk::SyncName(const std::string& path) { return SyncNames(ParentOf(path)); }

void SimDisk::PowerCut() {
  for (const auto& [directory, changes] : unsynced_) {
    const auto kept = random_.Between(0, static_cast<int64_t>(changes.size()));
    for (int64_t i = 0; i < kept; ++i) Apply(changes[static_cast<size_t>(i)], durable_names_);
  }
  unsynced_.clear();
  // What lies in a directory that is gone is gone with it; a parent comes before what is in it.
  std::set<std::string> kept{""};
  std::erase_if(durable_names_, [&kept](const auto& name) {
    if (!kept.contains(ParentOf(name.first))) return true;
    if (name.second == nullptr) kept.insert(name.first);
    return false;
  });
  names_ = durable_names_;
  for (auto& [path, file] : names_) {
    if (file == nullptr || file->bytes == file->durable) continue;
    const bool grew = file->bytes.starts_with(file->durable);
    std::string left = file->durable;
    if (grew) {
      const auto more = static_cast<int64_t>(file->bytes.size() - left.size());
      left = file->bytes.substr(0, left.size() + static_cast<size_t>(random_.Between(0, more)));
      if (left.size() > file->durable.size() && random_.OneIn(3))
        left.back() = static_cast<char>(left.back() ^ 0x55);
    }
    file->bytes = file->durable = left;
    file->forgotten = 0;
  }
}

bool SimDisk::Rot(const std::string& part) {
  std::vector<FilePtr> found;
  for (auto& [path, file] : names_)
    if (file != nullptr && path.find(part) != std::string::npos && !file->bytes.empty())
      found.push_back(file);
  if (found.empty()) return false;
  File& file =
      *found[static_cast<size_t>(random_.Between(0, static_cast<int64_t>(found.size()) - 1))];
  const auto at =
      static_cast<size_t>(random_.Between(0, static_cast<int64_t>(file.bytes.size()) - 1));
  const char bit = static_cast<char>(1 << random_.Between(0, 7));
  file.bytes[at] = static_cast<char>(file.bytes[at] ^ bit);
  if (at < file.durable.size()) file.durable[at] = file.bytes[at];
  return true;
}

std::string SimDisk::DurableBytes(const std::string& path) const {
  for (std::string on = path; !on.empty(); on = ParentOf(on))
    if (!durable_names_.contains(on)) return "";
  const FilePtr& file = durable_names_.at(path);
  return file == nullptr ? "" : file->durable;
}

StatusOr<std::unique_ptr<AppendFile>> SimDisk::OpenAppend(const std::string& path) {
  const FilePtr file = Find(path);
  if (file == nullptr) return NotFound("cannot open " + path);
  return std::unique_ptr<AppendFile>(std::make_unique<Appender>(*this, path, file));
}

StatusOr<std::unique_ptr<ReadFile>> SimDisk::OpenRead(const std::string& path) {
  const FilePtr file = Find(path);
  if (file == nullptr) return NotFound("cannot open " + path);
  return std::unique_ptr<ReadFile>(std::make_unique<Reader>(*this, path, file));
}

Status SimDisk::WriteAtomically(const std::string& path, std::string_view bytes) {
  if (!names_.contains(ParentOf(path))) return NotFound("cannot create " + path);
  HATCHERY_RETURN_IF_ERROR(MayFail(path));
  auto file = std::make_shared<File>();
  file->bytes = std::string(bytes);
  if (!lying) file->durable = file->bytes;
  const std::string temporary = path + ".partial";
  Alter(ParentOf(path), {{temporary, file}});
  return Rename(temporary, path);
}

Status SimDisk::Rename(const std::string& from, const std::string& to) {
  const FilePtr file = Find(from);
  if (file == nullptr) return NotFound("cannot rename " + from);
  if (failing && random_.OneIn(2)) return InternalError("cannot rename " + from);
  Alter(ParentOf(to), {{from, std::nullopt}, {to, file}});
  return SyncNames(ParentOf(to));
}

Status SimDisk::Remove(const std::string& path) {
  if (Find(path) == nullptr) return NotFound("cannot remove " + path);
  if (failing && random_.OneIn(2)) return InternalError("cannot remove " + path);
  Alter(ParentOf(path), {{path, std::nullopt}});
  return {};
}

StatusOr<std::vector<std::string>> SimDisk::List(const std::string& directory) {
  if (!names_.contains(directory) || Find(directory) != nullptr)
    return NotFound("cannot list " + directory);
  std::vector<std::string> names;
  for (const auto& [path, file] : names_)
    if (ParentOf(path) == directory) names.push_back(path.substr(directory.size() + 1));
  return names;
}

bool SimDisk::Exists(const std::string& path) { return names_.contains(path); }

Status SimDisk::CreateDirectory(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string prefix = path.substr(0, slash);
    const bool is_new = !names_.contains(prefix), last = slash == std::string::npos;
    if (is_new) {
      HATCHERY_RETURN_IF_ERROR(MayFail(prefix));
      Alter(ParentOf(prefix), {{prefix, FilePtr()}});
    }
    if ((is_new || last) && !names_unsynced) HATCHERY_RETURN_IF_ERROR(SyncNames(ParentOf(prefix)));
    if (last) return {};
  }
}

StatusOr<std::unique_ptr<DirectoryLock>> SimDisk::Lock(const std::string& directory,
                                                       const std::string& who) {
  if (!locked_.insert(directory).second)
    return FailedPrecondition("another " + who + " uses " + directory);
  return std::unique_ptr<DirectoryLock>(std::make_unique<Holder>(*this, directory));
}

}  // namespace hatchery::simulation

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace hatchery {
namespace {

// What errno says about doing `action` to `path`.
Status FileError(const std::string& action, const std::string& path, int error) {
  const std::string message = "cannot " + action + " " + path + ": " + std::strerror(error);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ResourceExhausted(message + "; free some space and start again, nothing is lost");
    case ENOENT:
    case ENOTDIR:
      return NotFound(message);
    case EEXIST:
      return AlreadyExists(message);
    default:
      return FailedPrecondition(message);
  }
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Status WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FileError("write", path, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// Make durable what was written: all of it, or the contents and what finding them takes.
#if defined(__APPLE__)
// fsync leaves the bytes in the drive's own cache there (fsync(2)); not every file system can do
// more.
int SyncAll(int fd) { return ::fcntl(fd, F_FULLFSYNC) == 0 ? 0 : ::fsync(fd); }
int SyncData(int fd) { return SyncAll(fd); }
#else
int SyncAll(int fd) { return ::fsync(fd); }
int SyncData(int fd) { return ::fdatasync(fd); }
#endif

// Whether it says that this file system knows no such thing as a sync.
bool CannotSync(int error) {
  for (const int each : {EINVAL, ENOTSUP, EOPNOTSUPP, EROFS})
    if (error == each) return true;
  return false;
}

enum class Syncing { kMust, kIfItCan };

Status SyncDirectory(const std::string& directory, Syncing syncing = Syncing::kMust) {
  const FileDescriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return FileError("open directory", directory, errno);
  if (SyncAll(fd.get()) == 0) return {};
  if (syncing == Syncing::kIfItCan && CannotSync(errno)) return {};
  return FileError("sync directory", directory, errno);
}

class PosixAppendFile : public AppendFile {
 public:
  PosixAppendFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  Status Append(std::string_view bytes) override { return WriteAll(fd_.get(), bytes, path_); }
  Status Sync() override {
    return SyncData(fd_.get()) == 0 ? Status() : FileError("sync", path_, errno);
  }
  Status Truncate(uint64_t size) override {
    return ::ftruncate(fd_.get(), static_cast<off_t>(size)) == 0
               ? Status()
               : FileError("truncate", path_, errno);
  }
  Status Rewrite(uint64_t offset, std::string_view bytes) override {
    const FileDescriptor fd(
        ::open(path_.c_str(), O_WRONLY | O_CLOEXEC));  // O_APPEND knows no offset
    if (fd.get() < 0) return FileError("open", path_, errno);
    if (::lseek(fd.get(), static_cast<off_t>(offset), SEEK_SET) < 0)
      return FileError("write", path_, errno);
    return WriteAll(fd.get(), bytes, path_);
  }

 private:
  FileDescriptor fd_;
  std::string path_;
};

class PosixReadFile : public ReadFile {
 public:
  PosixReadFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  StatusOr<std::string> Read(uint64_t offset, uint64_t size) override {
    // A length from a damaged file must not become an allocation.
    HATCHERY_ASSIGN_OR_RETURN(const uint64_t total, Size());
    std::string bytes(offset >= total ? 0 : std::min(size, total - offset), '\0');
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t got = ::pread(fd_.get(), bytes.data() + done, bytes.size() - done,
                                  static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return FileError("read", path_, errno);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    bytes.resize(done);
    return bytes;
  }
  StatusOr<uint64_t> Size() override {
    struct stat info;
    if (::fstat(fd_.get(), &info) != 0) return FileError("read", path_, errno);
    return static_cast<uint64_t>(info.st_size);
  }

 private:
  FileDescriptor fd_;
  std::string path_;
};

// A flock on an open file: the kernel releases it with the descriptor.
class PosixDirectoryLock : public DirectoryLock {
 public:
  explicit PosixDirectoryLock(int fd) : fd_(fd) {}

 private:
  FileDescriptor fd_;
};

class PosixDiskImpl : public Disk {
 public:
  StatusOr<std::unique_ptr<AppendFile>> OpenAppend(const std::string& path) override {
    // A pipe in a file's place must not keep us waiting for its other end.
    const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return FileError("open", path, errno);
    return std::unique_ptr<AppendFile>(std::make_unique<PosixAppendFile>(fd, path));
  }

  StatusOr<std::unique_ptr<ReadFile>> OpenRead(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return FileError("open", path, errno);
    auto file = std::make_unique<PosixReadFile>(fd, path);
    struct stat info;
    if (::fstat(fd, &info) != 0) return FileError("read", path, errno);
    if (S_ISDIR(info.st_mode)) return FileError("read", path, EISDIR);
    if (!S_ISREG(info.st_mode))
      return FailedPrecondition("cannot read " + path +
                                ": it is not a regular file; give the path of a file");
    return std::unique_ptr<ReadFile>(std::move(file));
  }

  Status WriteAtomically(const std::string& path, std::string_view bytes) override {
    // A rename would put a file in the place of a device or a pipe.
    if (struct stat info; ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
      return FailedPrecondition("cannot replace " + path +
                                ": it is not a regular file; give the path of a file");
    const std::string temporary = path + ".partial";
    const Status status = WriteDurably(temporary, bytes);
    if (!status.ok()) {
      ::unlink(temporary.c_str());
      return status;
    }
    return Rename(temporary, path);
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return FileError("rename", from, errno);
    return SyncDirectory(ParentOf(to));
  }

  Status Remove(const std::string& path) override {
    return ::unlink(path.c_str()) == 0 ? Status() : FileError("remove", path, errno);
  }

  StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    DIR* stream = ::opendir(directory.c_str());
    if (stream == nullptr) return FileError("list", directory, errno);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(stream)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    ::closedir(stream);
    std::sort(names.begin(), names.end());
    return names;
  }

  bool Exists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }

  Status CreateDirectory(const std::string& path) override {
    for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
      const std::string prefix = path.substr(0, end);
      const int error = ::mkdir(prefix.c_str(), 0777) == 0 ? 0 : errno;
      if (error != 0 && error != EEXIST && !IsDirectory(prefix))
        return FileError("create directory", prefix, error);
      const bool last = end == std::string::npos;
      // Whoever made the last one may have died, or failed, before this; if it was not we, its
      // parent may be unreadable, or of a file system without syncs, as that of a mount point.
      const std::string parent = ParentOf(prefix);
      if (error == 0)
        HATCHERY_RETURN_IF_ERROR(SyncDirectory(parent));
      else if (last && ::access(parent.c_str(), R_OK) == 0)
        HATCHERY_RETURN_IF_ERROR(SyncDirectory(parent, Syncing::kIfItCan));
      if (last) break;
    }
    return IsDirectory(path) ? Status() : FileError("create directory", path, ENOTDIR);
  }

  Status SyncName(const std::string& path) override { return SyncDirectory(ParentOf(path)); }

  StatusOr<std::unique_ptr<DirectoryLock>> Lock(const std::string& directory,
                                                const std::string& who) override {
    const std::string path = directory + "/lock";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return FileError("open", path, errno);
    auto lock = std::make_unique<PosixDirectoryLock>(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return FileError("lock", path, errno);
      return FailedPrecondition("another " + who + " uses " + directory +
                                "; stop it or use another directory");
    }
    return std::unique_ptr<DirectoryLock>(std::move(lock));
  }

 private:
  static bool IsDirectory(const std::string& path) {
    struct stat info;
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }

  static Status WriteDurably(const std::string& path, std::string_view bytes) {
    const FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (fd.get() < 0) return FileError("create", path, errno);
    HATCHERY_RETURN_IF_ERROR(WriteAll(fd.get(), bytes, path));
    return SyncAll(fd.get()) == 0 ? Status() : FileError("sync", path, errno);
  }
};

}  // namespace

Disk& PosixDisk() {
  static PosixDiskImpl disk;
  return disk;
}

StatusOr<std::string> ReadWholeFile(Disk& disk, const std::string& path) {
  HATCHERY_ASSIGN_OR_RETURN(auto file, disk.OpenRead(path));
  HATCHERY_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  return file->Read(0, size);
}

}  // namespace hatchery

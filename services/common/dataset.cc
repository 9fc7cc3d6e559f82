// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/dataset.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "services/common/disk.h"

namespace hatchery {
namespace {

std::string Reason() { return std::strerror(errno); }

StatusOr<std::span<const uint8_t>> SplitOf(const v1::DataSplit& split, const MappedFile& file) {
  if (file.bytes().size() != split.file_bytes())
    return DataLoss(file.path() + " has " + std::to_string(file.bytes().size()) +
                    " bytes; the job's data has " + std::to_string(split.file_bytes()));
  if (split.begin() > split.end() || split.end() > split.file_bytes())
    return InvalidArgument("the job's data split lies outside its file " + file.path());
  return file.bytes().subspan(split.begin(), split.end() - split.begin());
}

Status CheckHash(const v1::DataSplit& split, const MappedFile& file) {
  const std::string hash = file.Sha256Hex();
  if (hash == split.sha256()) return {};
  return DataLoss(file.path() + " has SHA-256 " + hash + "; the job's data has " + split.sha256() +
                  "; give the file that the job was made for");
}

}  // namespace

StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return Status(errno == ENOENT ? StatusCode::kNotFound : StatusCode::kFailedPrecondition,
                  "cannot open " + path + ": " + Reason());
  struct stat info;
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  const size_t size = regular ? static_cast<size_t>(info.st_size) : 0;
  void* memory = size == 0 ? nullptr : ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  const std::string reason = memory == MAP_FAILED ? Reason() : "";
  ::close(fd);
  if (!regular) return InvalidArgument(path + " is not a regular file");
  if (memory == MAP_FAILED) return FailedPrecondition("cannot map " + path + ": " + reason);
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, {static_cast<const uint8_t*>(memory), size}));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

std::string MappedFile::Sha256Hex() const {
  return ToHex(Sha256Of({reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}));
}

StatusOr<Dataset> Dataset::Open(const v1::Job& job, std::shared_ptr<const MappedFile> train,
                                std::shared_ptr<const MappedFile> held_out) {
  Dataset dataset;
  HATCHERY_ASSIGN_OR_RETURN(dataset.view_.train, SplitOf(job.train(), *train));
  HATCHERY_RETURN_IF_ERROR(CheckHash(job.train(), *train));
  if (job.held_out().end() > job.held_out().begin()) {
    if (held_out == nullptr) return InvalidArgument("the job's held-out data is missing");
    HATCHERY_ASSIGN_OR_RETURN(dataset.view_.held_out, SplitOf(job.held_out(), *held_out));
    if (held_out != train) HATCHERY_RETURN_IF_ERROR(CheckHash(job.held_out(), *held_out));
  }
  dataset.train_ = std::move(train);
  dataset.held_out_ = std::move(held_out);
  return dataset;
}

bool FileStore::Has(const std::string& sha256) const {
  return IsSha256Hex(sha256) && PosixDisk().Exists(PathOf(sha256));
}

StatusOr<std::shared_ptr<const MappedFile>> FileStore::Open(const std::string& sha256) const {
  if (!Has(sha256)) return NotFound("no file with SHA-256 '" + sha256 + "' in " + directory_);
  HATCHERY_ASSIGN_OR_RETURN(auto file, MappedFile::Open(PathOf(sha256)));
  if (file->Sha256Hex() != sha256)
    return DataLoss(file->path() + " no longer has the SHA-256 of its name; delete it");
  return file;
}

StatusOr<Dataset> FileStore::OpenDataset(const v1::Job& job) const {
  HATCHERY_ASSIGN_OR_RETURN(auto train, Open(job.train().sha256()));
  std::shared_ptr<const MappedFile> held_out;
  if (job.held_out().end() > job.held_out().begin()) {
    held_out = train;
    if (job.held_out().sha256() != job.train().sha256()) {
      HATCHERY_ASSIGN_OR_RETURN(held_out, Open(job.held_out().sha256()));
    }
  }
  return Dataset::Open(job, std::move(train), std::move(held_out));
}

StatusOr<std::unique_ptr<FileStore::Incoming>> FileStore::Receive() const {
  HATCHERY_RETURN_IF_ERROR(PosixDisk().CreateDirectory(directory_));
  std::string path = directory_ + "/incoming-XXXXXX";
  const int fd = ::mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) return FailedPrecondition("cannot create a file in " + directory_ + ": " + Reason());
  return std::unique_ptr<Incoming>(new Incoming(directory_, path, fd));
}

FileStore::Incoming::Incoming(std::string directory, std::string path, int fd)
    : directory_(std::move(directory)), path_(std::move(path)), fd_(fd) {}

FileStore::Incoming::~Incoming() {
  ::close(fd_);
  if (!path_.empty()) ::unlink(path_.c_str());
}

Status FileStore::Incoming::Append(std::string_view bytes) {
  hash_.Update(bytes);
  bytes_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      return Status(errno == ENOSPC || errno == EDQUOT ? StatusCode::kResourceExhausted
                                                       : StatusCode::kFailedPrecondition,
                    "cannot write to " + directory_ + ": " + Reason() + "; free some space");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Status FileStore::Incoming::Finish(const std::string& sha256) {
  const std::string actual = ToHex(hash_.Finish());
  if (actual != sha256)
    return DataLoss("the file has SHA-256 " + actual + ", not " + sha256 + "; send it again");
  if (::fsync(fd_) != 0) return ResourceExhausted("cannot sync " + path_ + ": " + Reason());
  HATCHERY_RETURN_IF_ERROR(PosixDisk().Rename(path_, directory_ + "/" + actual));
  path_.clear();
  return {};
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/upkeep/backup.h"

#include <filesystem>
#include <set>

#include "services/common/checkpoint.h"
#include "services/common/counted.h"
#include "services/common/dataset.h"
#include "services/common/journal_scan.h"
#include "services/common/run_dir.h"
#include "services/coordinator/catalogue.h"
#include "services/upkeep/fsck.h"
#include "services/upkeep/stored_dir.h"

namespace hatchery {
namespace {

constexpr uint64_t kPiece = 1 << 20;  // bytes copied at once
constexpr int kListings = 5;          // of checkpoints, while retention takes what was listed

class Copier {
 public:
  Copier(Disk& disk, std::string from, std::string to,
         const std::function<void(const CopiedFile&)>& on_file)
      : disk_(&disk), from_(std::move(from)), to_(std::move(to)), on_file_(&on_file) {}

  // What a file refers to is copied after it, because it was stored before it: the catalogue knows
  // of commits in the journals, the journals of files. Checkpoints come before their journal, which
  // must cover them.
  Status CopyDataDir() {
    for (const char* part : {"", "/files", "/jobs"})
      HATCHERY_RETURN_IF_ERROR(disk_->CreateDirectory(to_ + part));
    HATCHERY_RETURN_IF_ERROR(CopyCatalogue());
    HATCHERY_ASSIGN_OR_RETURN(const auto ids, List("jobs"));
    for (const std::string& id : ids) HATCHERY_RETURN_IF_ERROR(CopyJob(id));
    HATCHERY_ASSIGN_OR_RETURN(const auto names, List("files"));
    for (const std::string& name : names)
      if (IsSha256Hex(name)) HATCHERY_RETURN_IF_ERROR(CopyStoredFile(name));
    return {};
  }

  // `part` is empty or ends with a slash.
  Status CopyRun(const std::string& part) {
    HATCHERY_RETURN_IF_ERROR(RunDir(*disk_, to_ + "/" + part).Create());
    HATCHERY_RETURN_IF_ERROR(CopyCheckpoints(part));
    HATCHERY_RETURN_IF_ERROR(CopyInitial(part));
    HATCHERY_RETURN_IF_ERROR(CopyJournal(part));
    ++result_.jobs;
    return {};
  }

  const BackupResult& result() const { return result_; }

 private:
  void Copied(const std::string& path, uint64_t bytes, const std::string& text) {
    ++result_.files;
    result_.bytes += bytes;
    if (*on_file_) (*on_file_)({path, bytes, text, false});
  }
  void LeftOut(const std::string& path, const std::string& why) {
    ++result_.left_out;
    if (*on_file_) (*on_file_)({path, 0, why, true});
  }
  // What has neither journal nor checkpoints is no run: its submission never ended, or its files
  // were removed.
  Status CopyJob(const std::string& id) {
    const RunDir run(*disk_, from_ + "/jobs/" + id);
    HATCHERY_ASSIGN_OR_RETURN(const auto checkpoints, run.Checkpoints());
    if (run.HasJournal()) return CopyRun("jobs/" + id + "/");
    if (checkpoints.empty()) return {};
    return DataLoss(run.journal_path() + " is missing; see: hatchery fsck " + from_ + " --repair");
  }

  StatusOr<std::vector<std::string>> List(const std::string& part) const {
    if (!disk_->Exists(from_ + "/" + part)) return std::vector<std::string>();
    return disk_->List(from_ + "/" + part);
  }

  Status CopyCatalogue() {
    const std::string name = "catalogue.sqlite";
    if (!disk_->Exists(from_ + "/" + name)) return {};
    HATCHERY_ASSIGN_OR_RETURN(const auto catalogue,
                              coordinator::Catalogue::OpenToRead(from_ + "/" + name));
    HATCHERY_RETURN_IF_ERROR(catalogue->CopyTo(to_ + "/" + name));
    HATCHERY_ASSIGN_OR_RETURN(const auto copy, disk_->OpenRead(to_ + "/" + name));
    HATCHERY_ASSIGN_OR_RETURN(const uint64_t bytes, copy->Size());
    Copied(name, bytes, "by the database's online backup");
    return {};
  }

  // Newer ones may appear, and the retention take older ones, while this goes on.
  Status CopyCheckpoints(const std::string& part) {
    const RunDir source(*disk_, from_ + "/" + part);
    std::set<uint32_t> seen;
    bool vanished = true;
    for (int listing = 0; vanished && listing < kListings; ++listing) {
      vanished = false;
      HATCHERY_ASSIGN_OR_RETURN(const auto steps, source.Checkpoints());
      for (const uint32_t step : steps) {
        if (!seen.insert(step).second) continue;
        const Status copied = CopyCheckpoint(part, source.checkpoint_path(step));
        if (copied.code() == StatusCode::kNotFound)
          vanished = true;
        else
          HATCHERY_RETURN_IF_ERROR(copied);
      }
    }
    return {};
  }

  Status CopyCheckpoint(const std::string& part, const std::string& path) {
    const std::string name = part + "checkpoints/" + path.substr(path.rfind('/') + 1);
    HATCHERY_ASSIGN_OR_RETURN(const std::string bytes, ReadWholeFile(*disk_, path));
    const auto checkpoint = DecodeCheckpoint(bytes, path);
    if (!checkpoint.ok()) {
      LeftOut(name, checkpoint.status().message());
      return {};
    }
    HATCHERY_RETURN_IF_ERROR(disk_->WriteAtomically(to_ + "/" + name, bytes));
    Copied(name, bytes.size(), "digest " + FormatDigest(checkpoint->digest));
    return {};
  }

  Status CopyInitial(const std::string& part) {
    const std::string path = RunDir(*disk_, from_ + "/" + part).initial_path();
    if (!disk_->Exists(path)) return {};
    HATCHERY_ASSIGN_OR_RETURN(const std::string bytes, ReadWholeFile(*disk_, path));
    const std::string name = part + "initial.safetensors";
    HATCHERY_RETURN_IF_ERROR(disk_->WriteAtomically(to_ + "/" + name, bytes));
    Copied(name, bytes.size(), "the weights that the job starts from");
    return {};
  }

  Status CopyJournal(const std::string& part) {
    const std::string path = RunDir(*disk_, from_ + "/" + part).journal_path();
    HATCHERY_ASSIGN_OR_RETURN(const JournalScan scan, ScanJournal(*disk_, path));
    HATCHERY_RETURN_IF_ERROR(scan.damage);
    const std::string name = part + "journal.hatchery";
    HATCHERY_RETURN_IF_ERROR(CopyBytes(path, to_ + "/" + name, scan.good_end));
    Copied(name, scan.good_end,
           Counted(scan.commits(), "commit") + (scan.closing ? ", finished" : ""));
    return {};
  }

  Status CopyBytes(const std::string& path, const std::string& copy, uint64_t bytes) {
    HATCHERY_ASSIGN_OR_RETURN(const auto source, disk_->OpenRead(path));
    HATCHERY_RETURN_IF_ERROR(disk_->WriteAtomically(copy, ""));
    HATCHERY_ASSIGN_OR_RETURN(const auto target, disk_->OpenAppend(copy));
    for (uint64_t at = 0; at < bytes; at += kPiece) {
      HATCHERY_ASSIGN_OR_RETURN(const std::string piece,
                                source->Read(at, std::min(kPiece, bytes - at)));
      HATCHERY_RETURN_IF_ERROR(target->Append(piece));
    }
    return target->Sync();
  }

  Status CopyStoredFile(const std::string& sha256) {
    HATCHERY_ASSIGN_OR_RETURN(const auto source, disk_->OpenRead(from_ + "/files/" + sha256));
    HATCHERY_ASSIGN_OR_RETURN(const auto target, FileStore(to_ + "/files").Receive());
    HATCHERY_ASSIGN_OR_RETURN(const uint64_t bytes, source->Size());
    for (uint64_t at = 0; at < bytes; at += kPiece) {
      HATCHERY_ASSIGN_OR_RETURN(const std::string piece, source->Read(at, kPiece));
      HATCHERY_RETURN_IF_ERROR(target->Append(piece));
    }
    if (const Status finished = target->Finish(sha256); !finished.ok())
      return Status(finished.code(), from_ + "/files/" + sha256 +
                                         " is damaged; see: hatchery fsck " + from_ + " --repair");
    Copied("files/" + sha256, bytes, "has the SHA-256 of its name");
    return {};
  }

  Disk* disk_;
  std::string from_, to_;
  const std::function<void(const CopiedFile&)>* on_file_;
  BackupResult result_;
};

Status CheckFree(Disk& disk, const std::string& to) {
  if (!disk.Exists(to)) return {};
  HATCHERY_ASSIGN_OR_RETURN(const auto names, disk.List(to));
  if (names.empty()) return {};
  return AlreadyExists(to + " exists already; name a new directory by --out");
}

// `from` is what was copied.
Status Verify(Disk& disk, const std::string& copy, const std::string& from) {
  FsckOptions options;
  std::string first;
  options.on_file = [&](const FileReport& file) {
    if (file.state == FileReport::State::kDamaged && first.empty())
      first = file.path.substr(copy.size() + 1) + ": " + file.text;
  };
  HATCHERY_ASSIGN_OR_RETURN(const FsckResult result, Fsck(disk, copy, options));
  if (result.healthy()) return {};
  return DataLoss("the copy is not good, and was removed: " + first + "; see: hatchery fsck " +
                  from);
}

}  // namespace

StatusOr<BackupResult> Backup(Disk& disk, const std::string& source, const std::string& target,
                              const std::function<void(const CopiedFile&)>& on_file) {
  const std::string from = DirectoryName(source), to = DirectoryName(target);
  HATCHERY_ASSIGN_OR_RETURN(const StoredDir kind, KindOf(disk, from));
  HATCHERY_RETURN_IF_ERROR(CheckFree(disk, to));
  const std::string partial = to + ".partial";
  if (disk.Exists(partial))
    return AlreadyExists(partial + " is left of a backup that was cut short; remove it first");
  Copier copier(disk, from, partial, on_file);
  Status done = disk.CreateDirectory(partial);
  if (done.ok()) done = kind == StoredDir::kRun ? copier.CopyRun("") : copier.CopyDataDir();
  if (done.ok()) done = Verify(disk, partial, from);
  if (done.ok()) done = disk.Rename(partial, to);
  if (done.ok()) return copier.result();
  // It would be in the next backup's way.
  std::error_code ignored;
  std::filesystem::remove_all(partial, ignored);
  return done;
}

}  // namespace hatchery

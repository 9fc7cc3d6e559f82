// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The journal reader: a file as it is, or records with right checksums around fuzzed payloads.
#include "services/common/journal.h"
#include "services/common/journal_format.h"
#include "tests/fuzz/input.h"

namespace hatchery {
namespace {

class MemoryFile : public ReadFile {
 public:
  explicit MemoryFile(const std::string& bytes) : bytes_(bytes) {}
  StatusOr<std::string> Read(uint64_t offset, uint64_t size) override {
    if (offset >= bytes_.size()) return std::string();
    return bytes_.substr(offset, size);
  }
  StatusOr<uint64_t> Size() override { return uint64_t{bytes_.size()}; }

 private:
  const std::string& bytes_;
};

// One file, read only.
class MemoryDisk : public Disk {
 public:
  explicit MemoryDisk(std::string bytes) : bytes_(std::move(bytes)) {}
  StatusOr<std::unique_ptr<ReadFile>> OpenRead(const std::string&) override {
    return std::unique_ptr<ReadFile>(std::make_unique<MemoryFile>(bytes_));
  }
  StatusOr<std::unique_ptr<AppendFile>> OpenAppend(const std::string&) override { return No(); }
  Status WriteAtomically(const std::string&, std::string_view) override { return No(); }
  Status Rename(const std::string&, const std::string&) override { return No(); }
  Status Remove(const std::string&) override { return No(); }
  StatusOr<std::vector<std::string>> List(const std::string&) override { return No(); }
  bool Exists(const std::string&) override { return true; }
  Status CreateDirectory(const std::string&) override { return No(); }
  Status SyncName(const std::string&) override { return No(); }
  StatusOr<std::unique_ptr<DirectoryLock>> Lock(const std::string&, const std::string&) override {
    return No();
  }

 private:
  static Status No() { return InternalError("read only"); }
  std::string bytes_;
};

std::string Framed(fuzz::Input input) {
  std::string bytes = journal_format::Preamble();
  Sha256Hash chain = Sha256Of(bytes);
  for (uint32_t type = journal_format::kHeader; !input.empty(); type = input.Byte() % 6)
    bytes += journal_format::Frame(type, input.LongBytes(), chain);
  return bytes;
}

}  // namespace
}  // namespace hatchery

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hatchery;
  fuzz::reached = 0;
  fuzz::Input input(data, size);
  MemoryDisk disk(input.Byte() & 1 ? Framed(input) : input.Rest());
  const auto journal = JournalReader::Open(disk, "fuzz");
  if (!journal.ok()) return 0;
  JournalRecord record;
  for (auto outcome = (*journal)->Next(record);
       outcome.ok() && *outcome == JournalReader::Outcome::kRecord;) {
    ++fuzz::reached;
    outcome = (*journal)->Next(record);
  }
  return 0;
}

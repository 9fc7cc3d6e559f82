// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/journal_scan.h"

#include "services/common/bytes.h"
#include "services/common/journal_format.h"

namespace hatchery {
namespace {

using journal_format::kChainBytes, journal_format::kHeadBytes, journal_format::kPreambleBytes;

// Whether the file's first record follows from its preamble. Then a version that we do not know is
// what its writer meant, and not a flipped bit.
StatusOr<bool> PreambleIsIntact(ReadFile& file) {
  HATCHERY_ASSIGN_OR_RETURN(const std::string start, file.Read(0, kPreambleBytes + kHeadBytes));
  if (start.size() < kPreambleBytes + kHeadBytes) return false;
  ByteReader head(std::string_view(start).substr(kPreambleBytes));
  const uint32_t length = head.Number<uint32_t>();
  if (length > journal_format::kMaxPayload) return false;
  HATCHERY_ASSIGN_OR_RETURN(const std::string body, file.Read(start.size(), length + kChainBytes));
  if (body.size() < length + kChainBytes) return false;
  Sha256 hash;
  hash.Update(AsBytes(Sha256Of(std::string_view(start).substr(0, kPreambleBytes))));
  hash.Update(std::string_view(start).substr(kPreambleBytes));
  hash.Update(std::string_view(body).substr(0, length));
  return std::string_view(body).substr(length) == AsBytes(hash.Finish());
}

void Note(const JournalRecord& record, uint64_t at, JournalScan& scan) {
  if (const auto* commit = std::get_if<CommitRecord>(&record)) {
    scan.starts.push_back(at);
    scan.digests.push_back(commit->digest_before);
  } else if (const auto* closing = std::get_if<ClosingRecord>(&record)) {
    scan.closing = *closing;
  }
}

// Reads records until one is wrong or there are no more.
void ReadRecords(JournalReader& reader, JournalScan& scan) {
  JournalRecord record;
  for (;;) {
    // Not what the reader says afterwards: it may have gone past a record that makes no sense.
    scan.good_end = reader.good_end();
    const auto outcome = reader.Next(record);
    if (!outcome.ok()) {
      scan.damage = outcome.status();
      return;
    }
    scan.torn_bytes = reader.torn_bytes();
    if (*outcome != JournalReader::Outcome::kRecord) return;
    Note(record, scan.good_end, scan);
  }
}

}  // namespace

std::optional<core::Digest> JournalScan::DigestAt(uint32_t step) const {
  if (!has_header) return std::nullopt;
  if (step < digests.size()) return digests[step];
  if (step != commits()) return std::nullopt;
  if (closing) return closing->digest;
  return step == 0 ? std::optional(header.initial_digest) : std::nullopt;
}

StatusOr<JournalScan> ScanJournal(Disk& disk, const std::string& path) {
  HATCHERY_ASSIGN_OR_RETURN(const auto file, disk.OpenRead(path));
  JournalScan scan;
  HATCHERY_ASSIGN_OR_RETURN(scan.bytes, file->Size());
  auto reader = JournalReader::Open(disk, path);
  if (!reader.ok()) {
    if (reader.status().code() == StatusCode::kFailedPrecondition) {
      HATCHERY_ASSIGN_OR_RETURN(const bool intact, PreambleIsIntact(*file));
      if (intact) return reader.status();
    }
    scan.damage = reader.status();
    return scan;
  }
  scan.has_header = true;
  scan.header = (*reader)->header();
  ReadRecords(**reader, scan);
  // A running writer may have appended since.
  scan.bytes = std::max(scan.bytes, scan.good_end + scan.torn_bytes);
  return scan;
}

}  // namespace hatchery

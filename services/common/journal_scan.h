// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A journal read to the end of what is right in it, for those who check, repair and copy runs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "services/common/disk.h"
#include "services/common/journal.h"

namespace hatchery {

struct JournalScan {
  bool has_header = false;  // if not, everything but `bytes` and `damage` is empty
  JournalHeader header;
  uint64_t bytes = 0;                 // of the file
  uint64_t good_end = 0;              // the records before this byte are right
  uint64_t torn_bytes = 0;            // after it, of a write that a crash cut short
  Status damage;                      // what is wrong at good_end; OK for a torn tail
  std::vector<uint64_t> starts;       // first byte of each commit's record
  std::vector<core::Digest> digests;  // before each commit
  std::optional<ClosingRecord> closing;

  uint32_t commits() const { return static_cast<uint32_t>(starts.size()); }
  bool whole() const { return damage.ok() && torn_bytes == 0; }
  // The digest of the replica at `step`, where the journal tells it.
  std::optional<core::Digest> DigestAt(uint32_t step) const;
};

// Reads every record that is right. An error means that nothing can be said about the file: it is
// missing or unreadable, or (kFailedPrecondition) an intact journal of another version.
StatusOr<JournalScan> ScanJournal(Disk& disk, const std::string& path);

}  // namespace hatchery

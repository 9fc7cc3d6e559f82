// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Making a damaged journal usable again. Nothing is destroyed: what is taken out of a file stays
// beside it. The caller holds the directory's lock.
#pragma once

#include <string>
#include <vector>

#include "hatchery/v1/job.pb.h"
#include "kernels/status.h"
#include "services/common/disk.h"

namespace hatchery {

// A name beside `path` that is free: path + suffix, or that with -2, -3, ...
std::string FreeName(Disk& disk, const std::string& path, const std::string& suffix);

// Renames a file to its name + ".aside"; that name.
StatusOr<std::string> MoveAside(Disk& disk, const std::string& path);

// Cuts the journal at byte `offset`. What followed is kept in DIR/journal.cut-OFFSET, durable
// before the cut; that name.
StatusOr<std::string> CutJournal(Disk& disk, const std::string& path, uint64_t offset);

// Whether a restored header is the one that was written.
enum class HeaderProof {
  kProven,    // the file's own SHA-256 chain or CRCs say so: the records after it count again
  kBelieved,  // taken from elsewhere; records after it do not follow from it and are lost
};
struct RestoredHeader {
  HeaderProof proof;
  std::string kept_in;  // the old file, whole; empty if there was none
};
// Writes the journal's header anew, from what is left of it or from `jobs`, the same job as it is
// known elsewhere (checkpoints, catalogue), the most trusted first. kNotFound if nothing tells the
// job. Afterwards the file needs another scan: damage may follow.
StatusOr<RestoredHeader> RestoreHeader(Disk& disk, const std::string& path,
                                       const std::vector<v1::Job>& jobs);

}  // namespace hatchery

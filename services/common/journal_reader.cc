// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/core/version.h"
#include "services/common/bytes.h"
#include "services/common/crc32c.h"
#include "services/common/job.h"
#include "services/common/journal.h"
#include "services/common/journal_format.h"

namespace hatchery {

using namespace journal_format;  // NOLINT: the format is ours to read

StatusOr<std::unique_ptr<JournalReader>> JournalReader::Open(Disk& disk, const std::string& path) {
  HATCHERY_ASSIGN_OR_RETURN(auto file, disk.OpenRead(path));
  std::unique_ptr<JournalReader> reader(new JournalReader(path, std::move(file)));
  HATCHERY_RETURN_IF_ERROR(reader->ReadHeader());
  return reader;
}

Status JournalReader::Corrupt(uint64_t at, const std::string& what) const {
  return DataLoss(path_ + ": record " + std::to_string(records_) + " at byte " +
                  std::to_string(at) + " is damaged: " + what +
                  "; restore the file from a copy, or see hatchery fsck");
}

Status JournalReader::ReadHeader() {
  std::string preamble;
  HATCHERY_ASSIGN_OR_RETURN(preamble, file_->Read(0, kPreambleBytes));
  ByteReader in(preamble);
  if (in.Bytes(kMagic.size()) != kMagic)
    return DataLoss(path_ +
                    " is not a Hatchery journal; restore it from a copy, or use another directory");
  const uint32_t format = in.Number<uint32_t>(), contract = in.Number<uint32_t>();
  if (!in.ok()) return Corrupt(0, "the file is cut short");
  if (format != kJournalFormatVersion)
    return FailedPrecondition(
        path_ + " has journal format " + std::to_string(format) + "; this program reads format " +
        std::to_string(kJournalFormatVersion) + "; use the release of Hatchery that wrote it");
  if (contract != core::kContractVersion)
    return FailedPrecondition(path_ + " was written under contract version " +
                              std::to_string(contract) + "; this program implements version " +
                              std::to_string(core::kContractVersion) +
                              "; use the release of Hatchery that wrote it");
  chain_ = Sha256Of(preamble);
  offset_ = kPreambleBytes;
  uint32_t type = 0;
  std::string payload;
  HATCHERY_ASSIGN_OR_RETURN(const Outcome outcome, ReadRaw(type, payload));
  if (outcome != Outcome::kRecord) return Corrupt(kPreambleBytes, "the header is cut short");
  if (type != kHeader) return Corrupt(kPreambleBytes, "the first record is not the header");
  auto header = DecodeHeader(payload);
  if (!header.ok()) return Corrupt(kPreambleBytes, header.status().message());
  header_ = std::move(*header);
  auto spec = SpecFromJob(header_.job);
  if (!spec.ok()) return Corrupt(kPreambleBytes, "its job is wrong: " + spec.status().message());
  spec_ = *spec;
  ++records_;
  return {};
}

StatusOr<JournalReader::Outcome> JournalReader::Torn(uint64_t bytes) {
  torn_bytes_ = bytes;
  return Outcome::kTornTail;
}

StatusOr<bool> JournalReader::ZerosFrom(uint64_t begin, uint64_t end) {
  constexpr uint64_t kPiece = 64 << 10;  // the rest may be a whole journal: not all at once
  for (uint64_t at = begin; at < end; at += kPiece) {
    HATCHERY_ASSIGN_OR_RETURN(const std::string piece, file_->Read(at, std::min(kPiece, end - at)));
    if (piece.find_first_not_of('\0') != std::string::npos) return false;
  }
  return true;
}

StatusOr<JournalReader::Outcome> JournalReader::ReadRaw(uint32_t& type, std::string& payload) {
  HATCHERY_ASSIGN_OR_RETURN(const uint64_t size, file_->Size());
  const uint64_t left = size < offset_ ? 0 : size - offset_;
  if (left == 0) return Outcome::kEnd;
  if (left < kHeadBytes) return Torn(left);
  std::string head;
  HATCHERY_ASSIGN_OR_RETURN(head, file_->Read(offset_, kHeadBytes));
  if (head.size() != kHeadBytes) return Torn(left);
  ByteReader in(head);
  const uint32_t length = in.Number<uint32_t>();
  type = in.Number<uint32_t>();
  const uint32_t payload_crc = in.Number<uint32_t>(), head_crc = in.Number<uint32_t>();
  if (Crc32c(std::string_view(head).substr(0, kHeadBytes - 4)) != head_crc) {
    // After a power cut a file system may leave zeros where the last write should be.
    HATCHERY_ASSIGN_OR_RETURN(const bool zeros, ZerosFrom(offset_, size));
    if (zeros) return Torn(left);
    return Corrupt(offset_, "its head has the wrong CRC");
  }
  if (length > kMaxPayload) return Corrupt(offset_, "its length is impossible");
  if (left < kHeadBytes + length + kChainBytes) return Torn(left);
  HATCHERY_ASSIGN_OR_RETURN(const std::string body,
                            file_->Read(offset_ + kHeadBytes, length + kChainBytes));
  if (body.size() != length + kChainBytes) return Torn(left);
  payload = body.substr(0, length);
  if (Crc32c(payload) != payload_crc) return Corrupt(offset_, "its contents have the wrong CRC");
  Sha256 hash;
  hash.Update(AsBytes(chain_));
  hash.Update(head);
  hash.Update(payload);
  const Sha256Hash chain = hash.Finish();
  if (std::string_view(body).substr(length) != AsBytes(chain))
    return Corrupt(offset_, "it does not follow from the records before it (SHA-256 chain)");
  chain_ = chain;
  offset_ += kHeadBytes + length + kChainBytes;
  return Outcome::kRecord;
}

Status JournalReader::Accept(const JournalRecord& record, uint64_t at) {
  if (closed_) return Corrupt(at, "it follows the closing record");
  if (const auto* commit = std::get_if<CommitRecord>(&record)) {
    if (commit->commit.step != next_step_)
      return Corrupt(at, "it commits step " + std::to_string(commit->commit.step) + ", not " +
                             std::to_string(next_step_));
    const Status fitness =
        CheckFitness(commit->commit.encoding, commit->commit.fitness, spec_.pairs());
    if (!fitness.ok()) return Corrupt(at, fitness.message());
    ++next_step_;
  } else if (const auto* closing = std::get_if<ClosingRecord>(&record)) {
    if (closing->step != next_step_)
      return Corrupt(at, "it closes at step " + std::to_string(closing->step) + ", not " +
                             std::to_string(next_step_));
    closed_ = true;
  }
  return {};
}

StatusOr<JournalReader::Outcome> JournalReader::Next(JournalRecord& record) {
  const uint64_t at = offset_;
  uint32_t type = 0;
  std::string payload;
  torn_bytes_ = 0;
  HATCHERY_ASSIGN_OR_RETURN(const Outcome outcome, ReadRaw(type, payload));
  if (outcome != Outcome::kRecord) return outcome;
  auto decoded = Decode(type, payload);
  if (!decoded.ok()) return Corrupt(at, decoded.status().message());
  HATCHERY_RETURN_IF_ERROR(Accept(*decoded, at));
  record = std::move(*decoded);
  ++records_;
  return Outcome::kRecord;
}

}  // namespace hatchery

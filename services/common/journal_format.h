// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Payloads of journal records to and from bytes (docs/journal.md). Framing, checksums and order are
// journal.cc's.
#pragma once

#include <string>
#include <string_view>

#include "services/common/journal.h"

namespace hatchery::journal_format {

inline constexpr std::string_view kMagic = "HATCHJRN";
inline constexpr uint64_t kPreambleBytes = 16;  // magic, format version, contract version
inline constexpr uint64_t kHeadBytes = 16;      // payload length, type, CRCs of payload and head
inline constexpr uint64_t kChainBytes = 32;
inline constexpr uint32_t kMaxPayload = 1u << 26;

enum RecordType : uint32_t { kHeader = 1, kCommit = 2, kEvent = 3, kClosing = 4 };

std::string Preamble();
// A whole record around `payload`, and the chain after it.
std::string Frame(uint32_t type, const std::string& payload, Sha256Hash& chain);

std::string EncodeHeader(const JournalHeader& header);
std::string Encode(const CommitRecord& record);
std::string Encode(const EventRecord& record);
std::string Encode(const ClosingRecord& record);

// Errors say what is wrong with the payload; the caller adds where.
StatusOr<JournalHeader> DecodeHeader(std::string_view payload);
StatusOr<JournalRecord> Decode(uint32_t type, std::string_view payload);

}  // namespace hatchery::journal_format

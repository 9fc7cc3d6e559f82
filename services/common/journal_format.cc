// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/journal_format.h"

#include <nlohmann/json.hpp>

#include "kernels/core/version.h"
#include "services/common/bytes.h"
#include "services/common/crc32c.h"
#include "services/common/job.h"

namespace hatchery::journal_format {
namespace {

constexpr uint8_t kHasHeldOut = 1;

void PutDigest(std::string& out, core::Digest digest) {
  PutNumber(out, digest.lane0);
  PutNumber(out, digest.lane1);
}

core::Digest TakeDigest(ByteReader& in) {
  core::Digest digest;
  digest.lane0 = in.Number<uint64_t>();
  digest.lane1 = in.Number<uint64_t>();
  return digest;
}

void PutHeldOut(std::string& out, const std::optional<HeldOutSums>& sums) {
  if (!sums) return;
  PutNumber(out, sums->score);
  PutNumber(out, sums->coarse_score);
  PutNumber(out, sums->correct);
  PutNumber(out, sums->tokens);
}

std::optional<HeldOutSums> TakeHeldOut(ByteReader& in, uint8_t flags) {
  if ((flags & kHasHeldOut) == 0) return std::nullopt;
  HeldOutSums sums;
  sums.score = in.Number<int64_t>();
  sums.coarse_score = in.Number<int64_t>();
  sums.correct = in.Number<uint64_t>();
  sums.tokens = in.Number<uint64_t>();
  return sums;
}

StatusOr<JournalRecord> DecodeCommit(ByteReader in) {
  CommitRecord record;
  record.commit.step = in.Number<uint32_t>();
  const uint8_t encoding = in.Number<uint8_t>();
  const uint8_t flags = in.Number<uint8_t>();
  const uint16_t reserved = in.Number<uint16_t>();
  record.commit.alpha = in.Number<uint32_t>();
  record.commit.z_score = in.Number<uint32_t>();
  record.digest_before = TakeDigest(in);
  record.score_sum = in.Number<int64_t>();
  record.scored_tokens = in.Number<uint64_t>();
  record.nonzero_pairs = in.Number<uint32_t>();
  const uint32_t fitness_bytes = in.Number<uint32_t>();
  record.held_out = TakeHeldOut(in, flags);
  const std::string_view fitness = in.Bytes(fitness_bytes);
  if (!in.ok() || !in.empty()) return DataLoss("the commit's length does not fit its contents");
  if (encoding > static_cast<uint8_t>(FitnessEncoding::kInt8) || flags > kHasHeldOut ||
      reserved != 0)
    return DataLoss("the commit has an unknown encoding or flag");
  record.commit.encoding = static_cast<FitnessEncoding>(encoding);
  record.commit.fitness.assign(fitness.begin(), fitness.end());
  return JournalRecord(std::move(record));
}

StatusOr<JournalRecord> DecodeEvent(ByteReader in) {
  EventRecord record;
  record.unix_milliseconds = in.Number<int64_t>();
  record.step = in.Number<uint32_t>();
  record.kind = in.Bytes(in.Number<uint8_t>());
  if (!in.ok()) return DataLoss("the event is too short");
  record.text = in.Rest();
  return JournalRecord(std::move(record));
}

StatusOr<JournalRecord> DecodeClosing(ByteReader in) {
  ClosingRecord record;
  record.step = in.Number<uint32_t>();
  const uint32_t flags = in.Number<uint32_t>();
  record.digest = TakeDigest(in);
  if (flags > kHasHeldOut) return DataLoss("the closing record has an unknown flag");
  record.held_out = TakeHeldOut(in, static_cast<uint8_t>(flags));
  if (!in.ok() || !in.empty())
    return DataLoss("the closing record's length does not fit its contents");
  return JournalRecord(std::move(record));
}

}  // namespace

std::string Preamble() {
  std::string bytes(kMagic);
  PutNumber(bytes, kJournalFormatVersion);
  PutNumber(bytes, core::kContractVersion);
  return bytes;
}

std::string Frame(uint32_t type, const std::string& payload, Sha256Hash& chain) {
  std::string record;
  PutNumber(record, static_cast<uint32_t>(payload.size()));
  PutNumber(record, type);
  PutNumber(record, Crc32c(payload));
  PutNumber(record, Crc32c(record));
  record += payload;
  Sha256 hash;
  hash.Update(AsBytes(chain));
  hash.Update(record);
  chain = hash.Finish();
  record += AsBytes(chain);
  return record;
}

std::string EncodeHeader(const JournalHeader& header) {
  nlohmann::ordered_json json;
  json["software"] = header.software;
  json["initial_digest"] = FormatDigest(header.initial_digest);
  json["job"] = nlohmann::ordered_json::parse(JobToJson(header.job));
  // What is left of a damaged header's text need not be UTF-8 any more.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string Encode(const CommitRecord& record) {
  std::string out;
  PutNumber(out, record.commit.step);
  PutNumber(out, static_cast<uint8_t>(record.commit.encoding));
  PutNumber(out, static_cast<uint8_t>(record.held_out ? kHasHeldOut : 0));
  PutNumber(out, uint16_t{0});
  PutNumber(out, record.commit.alpha);
  PutNumber(out, record.commit.z_score);
  PutDigest(out, record.digest_before);
  PutNumber(out, record.score_sum);
  PutNumber(out, record.scored_tokens);
  PutNumber(out, record.nonzero_pairs);
  PutNumber(out, static_cast<uint32_t>(record.commit.fitness.size()));
  PutHeldOut(out, record.held_out);
  out.append(record.commit.fitness.begin(), record.commit.fitness.end());
  return out;
}

std::string Encode(const EventRecord& record) {
  const std::string kind = record.kind.substr(0, 255);
  std::string out;
  PutNumber(out, record.unix_milliseconds);
  PutNumber(out, record.step);
  PutNumber(out, static_cast<uint8_t>(kind.size()));
  return out + kind + record.text;
}

std::string Encode(const ClosingRecord& record) {
  std::string out;
  PutNumber(out, record.step);
  PutNumber(out, static_cast<uint32_t>(record.held_out ? kHasHeldOut : 0));
  PutDigest(out, record.digest);
  PutHeldOut(out, record.held_out);
  return out;
}

StatusOr<JournalHeader> DecodeHeader(std::string_view payload) {
  const auto json = nlohmann::json::parse(payload, nullptr, false);
  if (!json.is_object() || !json.contains("job"))
    return DataLoss("the header is not the JSON of a job");
  auto text = [&](const char* key) {
    return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
  };
  JournalHeader header;
  header.software = text("software");
  HATCHERY_ASSIGN_OR_RETURN(header.initial_digest, ParseDigest(text("initial_digest")));
  HATCHERY_ASSIGN_OR_RETURN(header.job, JobFromJson(json["job"].dump()));
  return header;
}

StatusOr<JournalRecord> Decode(uint32_t type, std::string_view payload) {
  switch (type) {
    case kCommit:
      return DecodeCommit(ByteReader(payload));
    case kEvent:
      return DecodeEvent(ByteReader(payload));
    case kClosing:
      return DecodeClosing(ByteReader(payload));
    default:
      return DataLoss("the record has the unknown type " + std::to_string(type));
  }
}

}  // namespace hatchery::journal_format

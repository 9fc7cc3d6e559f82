// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/journal_repair.h"

#include <optional>
#include <string_view>

#include "kernels/model.h"
#include "services/common/job.h"
#include "services/common/journal_format.h"

namespace hatchery {
namespace {

using journal_format::kChainBytes, journal_format::kHeadBytes, journal_format::kPreambleBytes;

constexpr size_t kPayloadAt = kPreambleBytes + kHeadBytes;
constexpr std::string_view kSoftwareKey = R"({"software":")";

// "DIR/journal" of "DIR/journal.hatchery".
std::string Stem(const std::string& path) { return path.substr(0, path.rfind('.')); }

std::string FileStart(const std::string& payload) {
  const std::string preamble = journal_format::Preamble();
  Sha256Hash chain = Sha256Of(preamble);
  return preamble + journal_format::Frame(journal_format::kHeader, payload, chain);
}

// The JSON object that `text` starts with, as far as its braces go.
std::string_view LeadingObject(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') ++i;
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '{') ++depth;
    if (c == '}' && --depth <= 0) return text.substr(0, i + 1);
  }
  return {};
}

// Who wrote the damaged journal, as it says itself, or else this program.
std::string SoftwareOf(std::string_view old) {
  const std::string_view payload = old.substr(std::min(old.size(), kPayloadAt));
  const size_t end = payload.find('"', kSoftwareKey.size());
  if (!payload.starts_with(kSoftwareKey) || end == std::string_view::npos)
    return "hatchery " HATCHERY_VERSION;
  return std::string(payload.substr(kSoftwareKey.size(), end - kSoftwareKey.size()));
}

std::optional<std::string> PayloadFor(const v1::Job& job, const std::string& software) {
  const auto spec = SpecFromJob(job);
  if (!spec.ok()) return std::nullopt;
  JournalHeader header{job, {}, software};
  if (job.initial_digest().empty()) {
    header.initial_digest = DigestOfBytes(InitialWeights(Model(*spec), spec->seed), 0);
  } else {
    const auto digest = ParseDigest(job.initial_digest());
    if (!digest.ok()) return std::nullopt;
    header.initial_digest = *digest;
  }
  return journal_format::EncodeHeader(header);
}

// Whether `old`, damaged as it is, was once a file that starts with `start`: everything but the
// chain value is intact, or the chain value is (SHA-256 admits no other bytes), or the end is gone.
bool Proves(std::string_view old, const std::string& start) {
  if (start.starts_with(old) && !old.empty()) return true;
  if (old.size() < start.size()) return false;
  const std::string_view now = old.substr(0, start.size());
  const size_t chain_at = start.size() - kChainBytes;
  return now.substr(chain_at) == std::string_view(start).substr(chain_at) ||
         now.substr(kPreambleBytes, chain_at - kPreambleBytes) ==
             std::string_view(start).substr(kPreambleBytes, chain_at - kPreambleBytes);
}

struct Candidate {
  std::string start;  // preamble and header
  HeaderProof proof;
};

StatusOr<Candidate> Choose(std::string_view old, const std::vector<v1::Job>& jobs,
                           const std::string& path) {
  std::vector<std::string> payloads;
  const std::string_view left = LeadingObject(old.substr(std::min(old.size(), kPayloadAt)));
  if (!left.empty() && journal_format::DecodeHeader(left).ok()) payloads.emplace_back(left);
  const size_t of_the_file = payloads.size();
  const std::string software = SoftwareOf(old);
  for (const v1::Job& job : jobs)
    if (auto payload = PayloadFor(job, software)) payloads.push_back(std::move(*payload));
  for (const std::string& payload : payloads)
    if (std::string start = FileStart(payload); Proves(old, start))
      return Candidate{std::move(start), HeaderProof::kProven};
  // What the damaged file says of itself without proof is not believed.
  if (payloads.size() == of_the_file)
    return NotFound("nothing tells the job of " + path + "; restore the file from a copy");
  return Candidate{FileStart(payloads[of_the_file]), HeaderProof::kBelieved};
}

}  // namespace

std::string FreeName(Disk& disk, const std::string& path, const std::string& suffix) {
  const std::string first = path + suffix;
  std::string name = first;
  for (int i = 2; disk.Exists(name); ++i) name = first + "-" + std::to_string(i);
  return name;
}

StatusOr<std::string> MoveAside(Disk& disk, const std::string& path) {
  const std::string aside = FreeName(disk, path, ".aside");
  HATCHERY_RETURN_IF_ERROR(disk.Rename(path, aside));
  return aside;
}

StatusOr<std::string> CutJournal(Disk& disk, const std::string& path, uint64_t offset) {
  HATCHERY_ASSIGN_OR_RETURN(const auto file, disk.OpenRead(path));
  HATCHERY_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  HATCHERY_ASSIGN_OR_RETURN(const std::string tail, file->Read(offset, size - offset));
  const std::string side = FreeName(disk, Stem(path), ".cut-" + std::to_string(offset));
  HATCHERY_RETURN_IF_ERROR(disk.WriteAtomically(side, tail));
  HATCHERY_ASSIGN_OR_RETURN(const auto journal, disk.OpenAppend(path));
  HATCHERY_RETURN_IF_ERROR(journal->Truncate(offset));
  HATCHERY_RETURN_IF_ERROR(journal->Sync());
  return side;
}

StatusOr<RestoredHeader> RestoreHeader(Disk& disk, const std::string& path,
                                       const std::vector<v1::Job>& jobs) {
  std::string old;
  RestoredHeader restored;
  if (disk.Exists(path)) {
    HATCHERY_ASSIGN_OR_RETURN(old, ReadWholeFile(disk, path));
  }
  HATCHERY_ASSIGN_OR_RETURN(const Candidate header, Choose(old, jobs, path));
  restored.proof = header.proof;
  if (!old.empty()) {
    restored.kept_in = FreeName(disk, Stem(path), ".cut-0");
    HATCHERY_RETURN_IF_ERROR(disk.WriteAtomically(restored.kept_in, old));
  }
  std::string repaired = header.start;
  if (restored.proof == HeaderProof::kProven && old.size() > repaired.size())
    repaired += old.substr(repaired.size());
  HATCHERY_RETURN_IF_ERROR(disk.WriteAtomically(path, repaired));
  return restored;
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/checkpoint.h"

#include <cassert>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "kernels/core/version.h"
#include "kernels/model.h"
#include "services/common/bytes.h"
#include "services/common/job.h"
#include "services/common/sha256.h"

namespace hatchery {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// The reference reader's limit, too: a header of garbage must not become an allocation.
constexpr uint64_t kMaxHeader = 100'000'000;
// More than any of ours comes to: a job and some hundred bytes a tensor.
constexpr uint64_t kLongestHeader = uint64_t{16} << 20;

// The header's entries for the tensors: contiguous, in contract order, without the padding that a
// replica has between them.
ordered_json TensorEntries(const Model& model) {
  ordered_json entries = ordered_json::object();
  uint64_t at = 0;
  for (const Tensor& tensor : model.tensors()) {
    ordered_json shape = ordered_json::array();
    const bool vector = tensor.kind == TensorKind::kGain || tensor.kind == TensorKind::kBias;
    if (!vector) shape.push_back(tensor.rows);
    shape.push_back(tensor.columns);
    entries[tensor.name] = {
        {"dtype", "I8"}, {"shape", shape}, {"data_offsets", {at, at + tensor.elements()}}};
    at += tensor.elements();
  }
  return entries;
}

std::string MetadataText(const json& metadata, const char* key) {
  return metadata.contains(key) && metadata[key].is_string() ? metadata[key].get<std::string>()
                                                             : "";
}

// SHA-256 of the metadata's other values, a newline after each: the digest is of weights alone.
std::string Seal(const json& metadata) {
  std::string text;
  for (const char* key : {"format", "contract", "step", "digest", "job"})
    text += MetadataText(metadata, key) + "\n";
  return ToHex(Sha256Of(text));
}

// Job, step and digest from the metadata.
StatusOr<Checkpoint> DecodeMetadata(const json& header) {
  if (!header.is_object() || !header.contains("__metadata__") ||
      !header["__metadata__"].is_object())
    return DataLoss("its header is damaged or not a checkpoint's");
  const json& metadata = header["__metadata__"];
  if (MetadataText(metadata, "format") != "hatchery")
    return DataLoss("it is a safetensors file of another program");
  if (MetadataText(metadata, "sha256") != Seal(metadata))
    return DataLoss("its metadata is damaged: their SHA-256 is not the one they claim");
  const std::string contract = MetadataText(metadata, "contract");
  if (contract != std::to_string(core::kContractVersion))
    return FailedPrecondition("it was written under contract version '" + contract +
                              "'; this program implements version " +
                              std::to_string(core::kContractVersion) +
                              "; use the release of Hatchery that wrote it");
  Checkpoint checkpoint;
  HATCHERY_ASSIGN_OR_RETURN(checkpoint.job, JobFromJson(MetadataText(metadata, "job")));
  HATCHERY_ASSIGN_OR_RETURN(checkpoint.digest, ParseDigest(MetadataText(metadata, "digest")));
  const std::string step = MetadataText(metadata, "step");
  const auto [end, error] =
      std::from_chars(step.data(), step.data() + step.size(), checkpoint.step);
  if (error != std::errc() || end != step.data() + step.size())
    return DataLoss("its step '" + step + "' is not a number");
  return checkpoint;
}

StatusOr<Checkpoint> Decode(std::string_view bytes) {
  ByteReader in(bytes);
  const uint64_t header_bytes = in.Number<uint64_t>();
  if (!in.ok() || header_bytes > kMaxHeader || header_bytes > bytes.size() - 8)
    return DataLoss("it is truncated or not a safetensors file");
  const std::string_view text = in.Bytes(header_bytes);
  // To the JSON parser a zero byte is an end, too.
  if (text.find('\0') != std::string_view::npos)
    return DataLoss("its header is damaged or not a checkpoint's");
  json header = json::parse(text, nullptr, false);
  HATCHERY_ASSIGN_OR_RETURN(Checkpoint checkpoint, DecodeMetadata(header));
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(checkpoint.job));
  const Model model(spec);
  header.erase("__metadata__");
  if (header != json(TensorEntries(model)))
    return DataLoss("its tensors are not those of its job's model");
  const std::string_view data = in.Rest();
  if (data.size() != model.parameters())
    return DataLoss("it holds " + std::to_string(data.size()) +
                    " bytes of weights; its model has " + std::to_string(model.parameters()));
  checkpoint.weights.assign(model.bytes(), 0);
  uint64_t at = 0;
  for (const Tensor& tensor : model.tensors()) {
    std::memcpy(checkpoint.weights.data() + tensor.offset, data.data() + at, tensor.elements());
    at += tensor.elements();
  }
  const core::Digest digest = DigestOfBytes(checkpoint.weights, 0);
  if (!(digest == checkpoint.digest))
    return DataLoss("its weights have digest " + FormatDigest(digest) + ", but it claims " +
                    FormatDigest(checkpoint.digest));
  return checkpoint;
}

}  // namespace

uint64_t MostCheckpointBytes(const Model& model) { return model.bytes() + kLongestHeader; }

std::string EncodeCheckpoint(const v1::Job& job, uint32_t step, std::span<const int8_t> weights) {
  const auto spec = SpecFromJob(job);
  assert(spec.ok());
  const Model model(*spec);
  assert(weights.size() == model.bytes());
  ordered_json metadata = {{"format", "hatchery"},
                           {"contract", std::to_string(core::kContractVersion)},
                           {"step", std::to_string(step)},
                           {"digest", FormatDigest(DigestOfBytes(weights, 0))},
                           {"job", JobToJson(job)}};
  metadata["sha256"] = Seal(metadata);
  ordered_json header;
  header["__metadata__"] = std::move(metadata);
  header.update(TensorEntries(model));
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string bytes;
  bytes.reserve(8 + text.size() + model.parameters());
  PutNumber(bytes, uint64_t{text.size()});
  bytes += text;
  for (const Tensor& tensor : model.tensors())
    bytes.append(reinterpret_cast<const char*>(weights.data()) + tensor.offset, tensor.elements());
  return bytes;
}

StatusOr<Checkpoint> DecodeCheckpoint(std::string_view bytes, const std::string& name) {
  auto checkpoint = Decode(bytes);
  if (!checkpoint.ok())
    return Status(checkpoint.status().code() == StatusCode::kFailedPrecondition
                      ? StatusCode::kFailedPrecondition
                      : StatusCode::kDataLoss,
                  name + " is not a usable checkpoint: " + checkpoint.status().message());
  return checkpoint;
}

StatusOr<Checkpoint> ReadCheckpoint(Disk& disk, const std::string& path) {
  HATCHERY_ASSIGN_OR_RETURN(const std::string bytes, ReadWholeFile(disk, path));
  return DecodeCheckpoint(bytes, path);
}

}  // namespace hatchery

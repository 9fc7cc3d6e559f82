// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The checkpoint reader: the bytes as they are, or as a header whose length and SHA-256 are put
// right.
#include <nlohmann/json.hpp>

#include "services/common/checkpoint.h"
#include "services/common/sha256.h"
#include "tests/fuzz/input.h"

namespace {

// The header (docs/checkpoint.md) with its metadata's own SHA-256, if it is one.
std::string Sealed(const std::string& header) {
  auto json = nlohmann::ordered_json::parse(header, nullptr, false);
  if (!json.is_object() || !json["__metadata__"].is_object()) return header;
  auto& metadata = json["__metadata__"];
  std::string text;
  for (const char* key : {"format", "contract", "step", "digest", "job"})
    text += (metadata[key].is_string() ? metadata[key].get<std::string>() : "") + "\n";
  metadata["sha256"] = hatchery::ToHex(hatchery::Sha256Of(text));
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hatchery::fuzz::Input input(data, size);
  const bool framed = input.Byte() & 1;
  std::string bytes = input.Rest();
  if (framed) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    const std::string header = Sealed(bytes.substr(0, end));
    std::string head;
    for (int i = 0; i < 8; ++i) head += static_cast<char>(uint64_t{header.size()} >> (8 * i));
    bytes = head + header + bytes.substr(end);
  }
  const auto checkpoint = hatchery::DecodeCheckpoint(bytes, "fuzz");
  if (checkpoint.ok())
    hatchery::EncodeCheckpoint(checkpoint->job, checkpoint->step, checkpoint->weights);
  return 0;
}

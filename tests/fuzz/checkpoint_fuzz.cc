// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The checkpoint reader: the bytes as they are, or as a header whose length is put right.
#include "services/common/checkpoint.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hatchery::fuzz::Input input(data, size);
  const bool framed = input.Byte() & 1;
  std::string bytes = input.Rest();
  if (framed) {
    uint64_t length = bytes.find('\n');
    if (length == std::string::npos) length = bytes.size();
    std::string head;
    for (int i = 0; i < 8; ++i) head += static_cast<char>(length >> (8 * i));
    bytes = head + bytes;
  }
  const auto checkpoint = hatchery::DecodeCheckpoint(bytes, "fuzz");
  if (checkpoint.ok())
    hatchery::EncodeCheckpoint(checkpoint->job, checkpoint->step, checkpoint->weights);
  return 0;
}

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/report/tensorboard.h"

#include "services/common/bytes.h"
#include "services/common/crc32c.h"
#include "tensorboard_event.pb.h"

namespace hatchery::report {
namespace {

// A CRC of bytes that hold CRCs is no good check, so TFRecord stores a masked one
// (tensorflow/core/lib/hash/crc32c.h).
uint32_t MaskedCrc(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

// u64 length, u32 CRC of it, the bytes, u32 CRC of them; little-endian
// (https://www.tensorflow.org/tutorials/load_data/tfrecord).
void AppendRecord(const std::string& payload, std::string& file) {
  std::string head;
  PutNumber(head, uint64_t{payload.size()});
  PutNumber(head, MaskedCrc(head));
  file += head + payload;
  PutNumber(file, MaskedCrc(payload));
}

}  // namespace

std::string EncodeEventFile(std::span<const ScalarEvent> events) {
  std::string file;
  tensorboard::Event first;
  first.set_wall_time(events.empty() ? 0 : events.front().wall_time);
  first.set_file_version("brain.Event:2");
  AppendRecord(first.SerializeAsString(), file);
  for (const ScalarEvent& event : events) {
    tensorboard::Event proto;
    proto.set_wall_time(event.wall_time);
    proto.set_step(event.step);
    for (const auto& [tag, value] : event.values) {
      auto* scalar = proto.mutable_summary()->add_value();
      scalar->set_tag(tag);
      scalar->set_simple_value(static_cast<float>(value));
    }
    AppendRecord(proto.SerializeAsString(), file);
  }
  return file;
}

}  // namespace hatchery::report

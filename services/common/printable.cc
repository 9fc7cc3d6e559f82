// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/printable.h"

#include <cstdint>

namespace hatchery {
namespace {

// The character that `text` begins with, and its bytes; none if they are not UTF-8.
struct Character {
  uint32_t code = 0;
  size_t bytes = 0;
};

Character FirstOf(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return {};
  uint32_t code = lead & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < kLeast[bytes] || code > 0x10FFFF || surrogate) return {};
  return {code, bytes};
}

bool Harmless(uint32_t code) {
  const auto in = [code](uint32_t first, uint32_t last) { return code >= first && code <= last; };
  return code >= 0x20 && code != '\\' && !in(0x7F, 0x9F) && code != 0xAD && code != 0x61C &&
         !in(0x200B, 0x200F) && !in(0x2028, 0x202E) && !in(0x2060, 0x206F) && code != 0xFEFF &&
         !in(0xFFF9, 0xFFFB) && !in(0xE0000, 0xE007F);
}

void Escape(uint8_t byte, std::string& out) {
  constexpr char kDigits[] = "0123456789abcdef";
  switch (byte) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\\':
      out += "\\\\";
      return;
    default:
      out += "\\x";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
  }
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character first = FirstOf(text);
    const size_t bytes = first.bytes == 0 ? 1 : first.bytes;
    if (first.bytes > 0 && Harmless(first.code)) {
      out += text.substr(0, bytes);
    } else {
      for (const char byte : text.substr(0, bytes)) Escape(static_cast<uint8_t>(byte), out);
    }
    text.remove_prefix(bytes);
  }
  return out;
}

}  // namespace hatchery

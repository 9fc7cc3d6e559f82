// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/report/markup.h"

#include <cstdint>
#include <cstdio>

namespace hatchery::report {
namespace {

struct Character {
  uint32_t code = 0;
  size_t bytes = 0;  // 0: the text does not start with UTF-8
};

// The first character of a text that is not empty; overlong forms and surrogates are none.
Character Decode(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return {first, 1};
  const size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < bytes) return {};
  uint32_t code = first & (0x7F >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<uint8_t>(text[i]);
    if ((next & 0xC0) != 0x80) return {};
    code = code << 6 | (next & 0x3F);
  }
  static constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[bytes] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return {};
  return {code, bytes};
}

bool CanBeSeen(uint32_t code) {
  if (code == '\n' || code == '\t') return true;
  if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return false;
  if (code >= 0x200B && code <= 0x200F) return false;  // no width, direction marks
  if (code >= 0x2028 && code <= 0x202E) return false;  // separators, direction
  if (code >= 0x2060 && code <= 0x206F) return false;
  return code != 0xFEFF && (code & 0xFFFE) != 0xFFFE;
}

template <typename... Args>
void Append(std::string& out, const char* format, Args... args) {
  char text[16];
  std::snprintf(text, sizeof text, format, args...);
  out += text;
}

}  // namespace

std::string EscapeMarkup(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character c = Decode(text);
    const size_t bytes = c.bytes == 0 ? 1 : c.bytes;
    if (c.bytes == 0 || (c.code < 0x100 && !CanBeSeen(c.code)))
      Append(out, "\\x%02x", c.bytes == 0 ? static_cast<uint8_t>(text[0]) : c.code);
    else if (!CanBeSeen(c.code))
      Append(out, "\\u%04x", c.code);
    else if (c.code == '&')
      out += "&amp;";
    else if (c.code == '<')
      out += "&lt;";
    else if (c.code == '>')
      out += "&gt;";
    else if (c.code == '"')
      out += "&quot;";
    else if (c.code == '\'')
      out += "&#39;";
    else
      out += text.substr(0, bytes);
    text.remove_prefix(bytes);
  }
  return out;
}

}  // namespace hatchery::report

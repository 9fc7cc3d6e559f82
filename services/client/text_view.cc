// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/text_view.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace hatchery {
namespace {

constexpr size_t kGap = 2;  // between columns of a table

bool Continues(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// The first `columns` characters of `text`.
std::string_view First(std::string_view text, size_t columns) {
  size_t at = 0;
  while (at < text.size() && (columns > 0 || Continues(text[at]))) {
    if (!Continues(text[at])) --columns;
    ++at;
  }
  return text.substr(0, at);
}

const char* CodeOf(Color color) {
  switch (color) {
    case Color::kNone:
      return "";
    case Color::kBold:
      return "\033[1m";
    case Color::kDim:
      return "\033[2m";
    case Color::kGreen:
      return "\033[32m";
    case Color::kYellow:
      return "\033[33m";
    case Color::kRed:
      return "\033[31m";
    case Color::kCyan:
      return "\033[36m";
  }
  return "";
}

// A column filled from below, or for `Bar` from the left, to so many eighths.
constexpr std::array<const char*, 9> kRising = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array<const char*, 9> kGrowing = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
constexpr std::array<const char*, 9> kRisingAscii = {" ", ".", ".", ":", ":", "|", "|", "#", "#"};

std::vector<double> Averaged(std::span<const double> values, size_t most) {
  if (values.size() <= most) return {values.begin(), values.end()};
  std::vector<double> out(most);
  for (size_t i = 0; i < most; ++i) {
    const size_t begin = i * values.size() / most, end = (i + 1) * values.size() / most;
    double sum = 0;
    for (size_t j = begin; j < end; ++j) sum += values[j];
    out[i] = sum / static_cast<double>(end - begin);
  }
  return out;
}

}  // namespace

std::string Narrow(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<uint8_t>(text[at]);
    size_t end = at + 1;
    while (end < text.size() && Continues(text[end])) ++end;
    uint32_t code = lead;
    if (lead >= 0xC3 && lead < 0xE0 && end == at + 2)
      code = (lead & 0x1Fu) << 6 | (static_cast<uint8_t>(text[at + 1]) & 0x3Fu);
    const bool ascii = end == at + 1 && code >= 0x20 && code < 0x7F;
    const bool letter =
        end == at + 2 && ((code >= 0xC0 && code < 0x300) || (code >= 0x370 && code < 0x483));
    out += ascii || letter ? text.substr(at, end - at) : "?";
    at = end;
  }
  return out;
}

size_t Columns(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !Continues(c); }));
}

Row& Row::Add(std::string_view text, Color color) {
  const std::string_view shown = First(text, left_);
  if (shown.empty()) return *this;
  left_ -= Columns(shown);
  const bool painted = style_.color && color != Color::kNone;
  if (painted) text_ += CodeOf(color);
  text_ += shown;
  if (painted) text_ += "\033[0m";
  return *this;
}

Row& Row::AddCell(std::string_view text, size_t width, bool right, Color color) {
  const std::string_view shown = First(text, width);
  const std::string blank(width - Columns(shown), ' ');
  if (right) Add(blank);
  Add(shown, color);
  return right ? *this : Add(blank);
}

std::string Bar(double fraction, size_t width, Style style) {
  const double clamped = std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0;
  const auto eighths = static_cast<size_t>(clamped * 8 * static_cast<double>(width) + 0.5);
  std::string bar;
  for (size_t i = 0; i < width; ++i) {
    const size_t filled = std::clamp(eighths, i * 8, i * 8 + 8) - i * 8;
    bar += style.utf8 ? (filled == 0 ? "░" : kGrowing[filled]) : (filled >= 4 ? "#" : ".");
  }
  return bar;
}

std::vector<std::string> Curve(std::span<const double> values, size_t width, size_t height,
                               Style style) {
  const std::vector<double> shown = Averaged(values, width);
  std::vector<std::string> rows(height);
  if (shown.empty()) return rows;
  const auto [least, most] = std::minmax_element(shown.begin(), shown.end());
  const double range = *most - *least;
  for (const double value : shown) {
    // The least still shows: one eighth.
    const double part = range > 0 ? (value - *least) / range : 0.5;
    const auto eighths = 1 + static_cast<size_t>(part * static_cast<double>(8 * height - 1) + 0.5);
    for (size_t row = 0; row < height; ++row) {
      const size_t below = (height - 1 - row) * 8;
      const size_t filled = std::clamp(eighths, below, below + 8) - below;
      rows[row] += style.utf8 ? kRising[filled] : kRisingAscii[filled];
    }
  }
  return rows;
}

std::vector<std::string> Table(std::vector<Column> columns,
                               const std::vector<std::vector<Cell>>& rows, size_t width,
                               Style style) {
  std::vector<size_t> shown(columns.size());
  for (size_t i = 0; i < shown.size(); ++i) shown[i] = i;
  const auto needed = [&] {
    size_t sum = 0;
    for (const size_t i : shown) sum += columns[i].width + kGap;
    return sum - kGap;
  };
  while (needed() > width) {
    const auto drop = std::max_element(shown.begin(), shown.end(), [&](size_t a, size_t b) {
      return columns[a].rank < columns[b].rank;
    });
    if (columns[*drop].rank == 0) break;
    shown.erase(drop);
  }
  const auto line = [&](const auto& cell_of) {
    Row row(width, style);
    for (size_t k = 0; k < shown.size(); ++k) {
      const size_t i = shown[k];
      const bool last = k + 1 == shown.size();
      const Cell& cell = cell_of(i);
      if (last && !columns[i].right)
        row.Add(cell.text, cell.color);
      else
        row.AddCell(cell.text, columns[i].width, columns[i].right, cell.color);
      if (!last) row.Add(std::string(kGap, ' '));
    }
    return row.text();
  };
  std::vector<Cell> titles;
  for (const Column& column : columns) titles.push_back({column.title, Color::kDim});
  std::vector<std::string> lines = {line([&](size_t i) -> const Cell& { return titles[i]; })};
  for (const auto& row : rows)
    lines.push_back(line([&](size_t i) -> const Cell& { return row[i]; }));
  return lines;
}

}  // namespace hatchery

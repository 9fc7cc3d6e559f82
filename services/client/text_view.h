// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What views on a terminal are made of: rows that never get wider than it, tables that drop columns
// where there is little room, bars and curves. All of it is pure: values in, text out.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hatchery {

struct ViewSize {
  size_t columns = 80, rows = 24;
};

struct Style {
  bool color = false;
  bool utf8 = true;  // else bars and curves are made of ASCII
};

enum class Color { kNone, kBold, kDim, kGreen, kYellow, kRed, kCyan };

// A peer's text, a column a character: Latin, Greek and Cyrillic stay, all else becomes '?'.
std::string Narrow(std::string_view text);
// Characters of UTF-8, which is columns for what Narrow, Bar and Curve return.
size_t Columns(std::string_view text);

// One row of at most `columns`; what does not fit is cut.
class Row {
 public:
  Row(size_t columns, Style style) : left_(columns), style_(style) {}
  Row& Add(std::string_view text, Color color = Color::kNone);
  // Padded to `width` columns, or cut to them; at the right edge of them if `right`.
  Row& AddCell(std::string_view text, size_t width, bool right, Color color = Color::kNone);
  size_t left() const { return left_; }
  const std::string& text() const { return text_; }

 private:
  size_t left_;
  const Style style_;
  std::string text_;
};

// `fraction` of `width` columns filled, in eighths of a column.
std::string Bar(double fraction, size_t width, Style style);

// `values`, oldest first, over `width` columns and `height` rows, top row first; from their least
// to their greatest. More values than columns are averaged, fewer take a column each.
std::vector<std::string> Curve(std::span<const double> values, size_t width, size_t height,
                               Style style);

struct Column {
  std::string title;
  size_t width;        // columns of the terminal
  bool right = false;  // numbers
  int rank = 0;        // the greatest is dropped first where there is little room; 0: never
};
struct Cell {
  std::string text;
  Color color = Color::kNone;
};
// A heading and the rows, each with a cell a column. The last column gets all room that is left.
std::vector<std::string> Table(std::vector<Column> columns,
                               const std::vector<std::vector<Cell>>& rows, size_t width,
                               Style style);

}  // namespace hatchery

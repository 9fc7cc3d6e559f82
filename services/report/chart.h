// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Line charts as SVG.
#pragma once

#include <string>
#include <vector>

#include "kernels/status.h"

namespace hatchery::report {

struct Point {
  double x = 0, y = 0;
};

struct Series {
  std::string name;           // any text
  std::vector<Point> points;  // ascending by x
  bool dots = false;          // a dot at each point
};

struct Chart {
  std::string title, x_label, y_label;  // labels with their units
  std::vector<Series> series;
  bool from_zero = false;  // the y axis starts at 0

  bool Empty() const;
};

// A part of an HTML page: without title and legend; its colours come from the page's style sheet
// (classes s0 … s7 of a series, `line`, `grid`, `tick`, `label`). Size in user units. The figures
// themselves stand in it, in their own units, under a transform: so a script can read and zoom
// them.
std::string ChartToInlineSvg(const Chart& chart, double width, double height);
// A file of its own, with title, legend and colours, on white, for any program that draws SVG.
std::string ChartToSvgFile(const Chart& chart);

// Classes of the i-th series: eight colours that colour-blind people tell apart, then the same
// dashed, then dotted.
std::string SeriesClass(size_t i);

// "12.3 M", "0.25": at most `digits` significant digits.
std::string FormatNumber(double value, int digits = 3);

}  // namespace hatchery::report

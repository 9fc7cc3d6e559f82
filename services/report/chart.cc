// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/report/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "services/report/markup.h"

namespace hatchery::report {
namespace {

constexpr size_t kMostPoints = 4000;  // of a line; more cannot be told apart

// After Okabe and Ito, without the black and with a yellow that is seen on white.
constexpr char kFileStyle[] =
    "svg{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;font-size:12px}"
    ".paper{fill:#fff}text{fill:#222}.tick{fill:#555}.title{font-size:15px;font-weight:600}"
    ".grid{stroke:#e2e2e2;stroke-width:1}.frame{stroke:#888;stroke-width:1}"
    ".line{fill:none;stroke-width:1.8;stroke-linejoin:round}"
    ".dot{fill:none;stroke-width:6;stroke-linecap:round}"
    ".s0{stroke:#0072b2}.s1{stroke:#d55e00}.s2{stroke:#009e73}.s3{stroke:#cc79a7}"
    ".s4{stroke:#e69f00}.s5{stroke:#56b4e9}.s6{stroke:#7a5195}.s7{stroke:#6b6b6b}"
    ".d1{stroke-dasharray:7 4}.d2{stroke-dasharray:2 3}";

struct Range {
  double low = 0, high = 1;
  double size() const { return high - low; }
};

// The part of a picture that a chart is drawn in.
struct Box {
  double x, y, width, height;
};

struct Axes {
  Range x, y;
  Box box;
  double X(double x_value) const { return box.x + (x_value - x.low) / x.size() * box.width; }
  double Y(double y_value) const { return box.y + (y.high - y_value) / y.size() * box.height; }
};

template <typename... Args>
std::string Format(const char* format, Args... args) {
  char text[256];
  std::snprintf(text, sizeof text, format, args...);
  return text;
}

bool Drawable(const Point& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

Range RangeOf(const Chart& chart, double Point::*coordinate) {
  Range range{HUGE_VAL, -HUGE_VAL};
  for (const Series& series : chart.series)
    for (const Point& point : series.points) {
      if (!Drawable(point)) continue;
      range.low = std::min(range.low, point.*coordinate);
      range.high = std::max(range.high, point.*coordinate);
    }
  if (range.low > range.high) return {};
  return range;
}

Axes AxesOf(const Chart& chart, const Box& box) {
  Axes axes{RangeOf(chart, &Point::x), RangeOf(chart, &Point::y), box};
  if (axes.x.size() == 0) axes.x.high += 1;
  if (chart.from_zero) axes.y.low = std::min(0.0, axes.y.low);
  double margin = axes.y.size() * 0.05;
  if (margin == 0 && chart.from_zero && axes.y.high == 0) margin = 1;
  if (margin == 0) margin = std::max(std::abs(axes.y.high) * 0.05, 1e-3);
  axes.y.high += margin;
  if (!chart.from_zero) axes.y.low -= margin;
  return axes;
}

// Round values (1, 2 or 5 times a power of ten apart), `about` of them.
std::vector<double> Ticks(const Range& range, int about) {
  const double rough = range.size() / about;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double step = power * (rough / power > 5   ? 10
                               : rough / power > 2 ? 5
                               : rough / power > 1 ? 2
                                                   : 1);
  std::vector<double> ticks;
  for (double i = std::ceil(range.low / step - 1e-9); i * step <= range.high + 1e-9 * step; ++i)
    ticks.push_back(i * step);
  return ticks;
}

std::string Text(const char* css_class, double x, double y, const char* anchor,
                 const std::string& text, const std::string& more = "") {
  return Format("<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", css_class, x, y,
                anchor, more.c_str()) +
         EscapeMarkup(text) + "</text>";
}

std::string Line(const char* css_class, double x1, double y1, double x2, double y2) {
  return Format("<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", css_class,
                x1, y1, x2, y2);
}

std::string DrawAxes(const Chart& chart, const Axes& axes) {
  const Box& box = axes.box;
  const double bottom = box.y + box.height, right = box.x + box.width;
  std::string svg = "<g class=\"axes\">";
  for (const double tick : Ticks(axes.y, 5)) {
    svg += Line("grid", box.x, axes.Y(tick), right, axes.Y(tick));
    svg += Text("tick", box.x - 8, axes.Y(tick) + 4, "end", FormatNumber(tick, 6));
  }
  for (const double tick : Ticks(axes.x, static_cast<int>(box.width / 90) + 1)) {
    svg += Line("grid", axes.X(tick), box.y, axes.X(tick), bottom);
    svg += Text("tick", axes.X(tick), bottom + 18, "middle", FormatNumber(tick, 6));
  }
  svg += Line("frame", box.x, bottom, right, bottom);
  svg += Text("label", box.x + box.width / 2, bottom + 38, "middle", chart.x_label);
  const double middle = box.y + box.height / 2;
  svg += Text("label", 14, middle, "middle", chart.y_label,
              Format(" transform=\"rotate(-90 14 %.1f)\"", middle));
  return svg + "</g>";
}

// Of more points than can be told apart, the lowest and the highest of each stretch.
std::vector<Point> Thinned(const std::vector<Point>& all) {
  std::vector<Point> drawable;
  std::copy_if(all.begin(), all.end(), std::back_inserter(drawable), Drawable);
  if (drawable.size() <= kMostPoints) return drawable;
  const size_t stretches = kMostPoints / 2;
  const auto lower = [](const Point& a, const Point& b) { return a.y < b.y; };
  std::vector<Point> kept;
  for (size_t i = 0; i < stretches; ++i) {
    const auto begin = drawable.begin() + static_cast<ptrdiff_t>(drawable.size() * i / stretches);
    const auto end =
        drawable.begin() + static_cast<ptrdiff_t>(drawable.size() * (i + 1) / stretches);
    auto [least, most] = std::minmax_element(begin, end, lower);
    if (most < least) std::swap(least, most);
    kept.push_back(*least);
    if (most != least) kept.push_back(*most);
  }
  return kept;
}

// How the numbers in a picture's lines become places in its plot: x * sx + tx, y * sy + ty.
struct Transform {
  double sx = 1, sy = 1, tx = 0, ty = 0;
  Point operator()(const Point& p) const { return {p.x * sx + tx, p.y * sy + ty}; }
};

// `more`: attributes of the lines.
std::string DrawSeries(const Series& series, size_t index, const Transform& place,
                       const char* more) {
  const auto points = Thinned(series.points);
  const std::string css = SeriesClass(index);
  std::string line, dots;
  for (const Point& own : points) {
    const Point point = place(own);
    line += Format("%s%.9g,%.6g", line.empty() ? "" : " ", point.x, point.y);
    if (series.dots) dots += Format("M%.9g,%.6gh0", point.x, point.y);
  }
  std::string svg =
      Format("<g class=\"series\"><polyline class=\"line %s\"%s points=\"", css.c_str(), more);
  svg += line + "\"/>";
  if (!dots.empty()) {
    svg += Format("<path class=\"dot %s\"%s d=\"", css.c_str(), more);
    svg += dots + "\"/>";
  }
  return svg + "</g>";
}

// Where the figures' scaling happens. A browser can scale them as it draws, with strokes of the
// same width at any scale; other programs, and librsvg among them, scale the strokes with them.
enum class Scaled { kByBrowser, kHere };

// The lines, cut off at the box's edges.
std::string DrawLines(const Chart& chart, const Axes& axes, Scaled scaled) {
  const Box& box = axes.box;
  const double sx = box.width / axes.x.size(), sy = -box.height / axes.y.size();
  const Transform transform{sx, sy, -axes.x.low * sx, -axes.y.high * sy};
  std::string svg =
      Format("<svg class=\"plot\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\">", box.x,
             box.y, box.width, box.height);
  svg += "<g class=\"lines\"";
  if (scaled == Scaled::kByBrowser)
    svg += Format(" transform=\"matrix(%.9g 0 0 %.9g %.9g %.9g)\"", transform.sx, transform.sy,
                  transform.tx, transform.ty);
  svg += ">";
  for (size_t i = 0; i < chart.series.size(); ++i)
    svg += scaled == Scaled::kByBrowser
               ? DrawSeries(chart.series[i], i, {}, " vector-effect=\"non-scaling-stroke\"")
               : DrawSeries(chart.series[i], i, transform, "");
  return svg + "</g></svg>";
}

// Entries side by side as far as they fit into `width`, from (x, y) on; `y` becomes the last row's.
std::string DrawLegend(const Chart& chart, double x, double width, double& y) {
  std::string svg;
  double at = x;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const double size = 44 + 6.8 * static_cast<double>(chart.series[i].name.size());
    if (at > x && at + size > x + width) {
      at = x;
      y += 20;
    }
    svg += Line(Format("line %s", SeriesClass(i).c_str()).c_str(), at, y - 4, at + 22, y - 4);
    svg += Text("key", at + 28, y, "start", chart.series[i].name);
    at += size;
  }
  return svg;
}

std::string Open(const Chart& chart, double width, double height, const Axes& axes) {
  return Format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" width=\"%.0f\" "
             "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" ",
             width, height, width, height) +
         Format("data-domain=\"%.9g %.9g %.9g %.9g\" ", axes.x.low, axes.x.high, axes.y.low,
                axes.y.high) +
         "aria-label=\"" + EscapeMarkup(chart.title) + "\">";
}

}  // namespace

bool Chart::Empty() const {
  return std::all_of(series.begin(), series.end(),
                     [](const Series& s) { return s.points.empty(); });
}

std::string SeriesClass(size_t i) {
  const size_t dash = i / 8 % 3;
  return dash == 0 ? Format("s%zu", i % 8) : Format("s%zu d%zu", i % 8, dash);
}

std::string FormatNumber(double value, int digits) {
  static constexpr std::array<const char*, 5> kUnits = {"", " k", " M", " G", " T"};
  size_t unit = 0;
  double scaled = std::abs(value) < 1e-12 ? 0 : value;
  const double limit = digits < 4 ? 999.5 : 10000;
  for (; std::abs(scaled) >= limit && unit + 1 < kUnits.size(); ++unit) scaled /= 1000;
  return Format("%.*g%s", digits, scaled, kUnits[unit]);
}

std::string ChartToInlineSvg(const Chart& chart, double width, double height) {
  const Axes axes = AxesOf(chart, {64, 8, width - 64 - 14, height - 8 - 46});
  return Open(chart, width, height, axes) + DrawAxes(chart, axes) +
         DrawLines(chart, axes, Scaled::kByBrowser) + "</svg>";
}

std::string ChartToSvgFile(const Chart& chart) {
  constexpr double kWidth = 800, kPlot = 380;
  const Axes axes = AxesOf(chart, {72, 44, kWidth - 72 - 20, kPlot});
  double y = 44 + kPlot + 66;
  const std::string legend = DrawLegend(chart, 72, kWidth - 92, y);
  return Open(chart, kWidth, y + 14, axes) + "<style>" + kFileStyle + "</style>" +
         "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>" +
         Text("title", 72, 26, "start", chart.title) + DrawAxes(chart, axes) +
         DrawLines(chart, axes, Scaled::kHere) + legend + "</svg>\n";
}

}  // namespace hatchery::report

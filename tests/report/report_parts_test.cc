// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "services/report/chart.h"
#include "services/report/markup.h"
#include "services/report/run_history.h"

namespace hatchery::report {
namespace {

TEST(Markup, ShowsAnyBytesAndMeansNone) {
  EXPECT_EQ(EscapeMarkup("<a href='x'>\"&"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
  EXPECT_EQ(EscapeMarkup("a\n\tb"), "a\n\tb");
  EXPECT_EQ(EscapeMarkup(std::string_view("\0\x1b\x7f", 3)), "\\x00\\x1b\\x7f");
  EXPECT_EQ(EscapeMarkup("größe €😀"), "größe €😀");
  EXPECT_EQ(EscapeMarkup("\xC3"), "\\xc3");           // cut short
  EXPECT_EQ(EscapeMarkup("\xC0\xBC"), "\\xc0\\xbc");  // '<', overlong
  EXPECT_EQ(EscapeMarkup("\xE0\x80\xBC"), "\\xe0\\x80\\xbc");
  EXPECT_EQ(EscapeMarkup("\xED\xA0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(EscapeMarkup("\xF5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
  EXPECT_EQ(EscapeMarkup("\xE2\x80\xAE"), "\\u202e");  // turns the direction of writing
  EXPECT_EQ(EscapeMarkup("\xEF\xBF\xBE"), "\\ufffe");  // no character in XML
}

TEST(Chart, NumbersAreShort) {
  EXPECT_EQ(FormatNumber(0), "0");
  EXPECT_EQ(FormatNumber(0.25), "0.25");
  EXPECT_EQ(FormatNumber(9999, 4), "9999");
  EXPECT_EQ(FormatNumber(1310720), "1.31 M");
  EXPECT_EQ(FormatNumber(4420), "4.42 k");
  EXPECT_EQ(FormatNumber(12340), "12.3 k");
  EXPECT_EQ(FormatNumber(83886080), "83.9 M");
}

TEST(Chart, KeepsTheExtremesOfLongLines) {
  Chart chart{"t", "x", "y", {}, false};
  Series series{"s", {}, false};
  for (int i = 0; i < 100000; ++i) series.points.push_back({double(i), i == 4321 ? 777.0 : 1.0});
  chart.series.push_back(series);
  const std::string svg = ChartToInlineSvg(chart, 720, 320);
  EXPECT_LT(svg.size(), 100000u);
  EXPECT_NE(svg.find("4321,777"), std::string::npos);
}

RunHistory TimedRun() {
  RunHistory history;
  history.header.job.set_population(10);
  history.header.job.set_window(10);
  history.commits.resize(20);
  history.marks = {
      {0, 1000, 0, true}, {10, 3000, 2, false}, {10, 60000, 2, true}, {14, 61000, 3, false}};
  return history;
}

TEST(Time, IsInterpolatedAndPausesAreLeftOut) {
  const RunHistory history = TimedRun();
  EXPECT_DOUBLE_EQ(*SecondsAt(history, 5), 1);
  EXPECT_DOUBLE_EQ(*SecondsAt(history, 10), 2);
  EXPECT_DOUBLE_EQ(*SecondsAt(history, 12), 2.5);
  EXPECT_DOUBLE_EQ(*WallTimeAt(history, 12), 60.5);
  EXPECT_FALSE(SecondsAt(history, 15).has_value());
  EXPECT_DOUBLE_EQ(*MeanThroughput(history), 1400.0 / 3);
  const auto throughput = ThroughputOf(history);
  ASSERT_EQ(throughput.size(), 2u);
  EXPECT_DOUBLE_EQ(throughput[0].tokens_per_second, 500);
  EXPECT_EQ(throughput[1].end, 14u);
  EXPECT_DOUBLE_EQ(throughput[1].tokens_per_second, 400);
  EXPECT_FALSE(SecondsAt(RunHistory(), 0).has_value());
}

TEST(Time, AShortRestTellsNoThroughputOfItsOwn) {
  RunHistory history = TimedRun();
  history.marks = {{0, 0, 0, true}, {10, 2000, 2, false}, {12, 2100, 2.1, false}};
  auto throughput = ThroughputOf(history);
  ASSERT_EQ(throughput.size(), 1u);
  EXPECT_EQ(throughput[0].begin, 0u);
  EXPECT_EQ(throughput[0].end, 12u);
  EXPECT_DOUBLE_EQ(throughput[0].tokens_per_second, 1200 / 2.1);
  history.marks.push_back({20, 3000, 3, false});  // it was not the last
  throughput = ThroughputOf(history);
  ASSERT_EQ(throughput.size(), 3u);
  EXPECT_DOUBLE_EQ(throughput[1].tokens_per_second, 2000);
  history.marks = {{0, 0, 0, true}, {1, 100, 0.1, false}};  // there is none to count it with
  EXPECT_EQ(ThroughputOf(history).size(), 1u);
}

}  // namespace
}  // namespace hatchery::report

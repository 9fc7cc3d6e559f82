// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Log lines: what they look like, and that nobody's text can forge or break one.
#include "services/common/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "services/common/printable.h"

namespace hatchery {
namespace {

using testing::HasSubstr;

const LogLine kLine{LogLevel::kInfo, "worker_joined", "host/4711, cpu: 8 threads", "12", 40, "w3"};

TEST(Log, TextNamesWhatALineIsAbout) {
  EXPECT_EQ(LogText(kLine), "worker_joined job=12 step=40 worker=w3: host/4711, cpu: 8 threads");
  EXPECT_EQ(LogText({LogLevel::kInfo, "listening", "on 127.0.0.1:7070"}),
            "listening: on 127.0.0.1:7070");
  EXPECT_EQ(LogText({LogLevel::kInfo, "recovered", "", "1", 0}), "recovered job=1 step=0: ");
}

TEST(Log, JsonHasTheSameFields) {
  const auto json = nlohmann::json::parse("{" + LogJson(kLine));
  EXPECT_EQ(json, nlohmann::json::parse(R"({"event":"worker_joined","job":"12","step":40,
    "worker":"w3","message":"host/4711, cpu: 8 threads"})"));
  const auto bare = nlohmann::json::parse("{" + LogJson({LogLevel::kInfo, "listening", "x"}));
  EXPECT_EQ(bare.size(), 2u);
}

TEST(Log, APeersTextCannotForgeALine) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  // Also: C1 controls, line separators and bidirectional overrides, as UTF-8.
  all += "\xc2\x85\xc2\x9b\xe2\x80\xa8\xe2\x80\xae\xed\xa0\x80\xf5\x80\x80\x80";
  const LogLine line{LogLevel::kError, all, all, all, 1, all};
  const std::string text = LogText(line), json = LogJson(line);
  for (const std::string& form : {text, json})
    for (const char c : form) EXPECT_TRUE(c >= 32 && c < 127) << int(c) << " in " << form;
  // Nothing before the message is another field's.
  const std::string forged =
      LogText({LogLevel::kInfo, "said", "x", "1", {}, "w1: bad worker=w2\nstep=3"});
  EXPECT_EQ(forged, "said job=1 worker=w1:_bad_worker=w2\\nstep=3: x");
  EXPECT_EQ(nlohmann::json::parse("{" + json).size(), 5u);
}

TEST(Log, ReadableTextStaysReadable) {
  EXPECT_EQ(Printable("Grüße, 世界 🐣"), "Grüße, 世界 🐣");
  EXPECT_EQ(Printable("a\nb\tc\\d\x1b[31m"), "a\\nb\\tc\\\\d\\x1b[31m");
  EXPECT_EQ(Printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(Printable("\xc0\xaf\xe0\x80\x8a"), "\\xc0\\xaf\\xe0\\x80\\x8a");  // overlong
}

// What goes out, with time and level; and what the level keeps back.
TEST(Log, WritesOneLineAnEvent) {
  const auto written = [](const std::string& format) {
    testing::internal::CaptureStderr();
    StartLog({format, "warning"});
    WriteLog(kLine);
    WriteLog({LogLevel::kError, "append_failed", "disk\nfull", "12", 41});
    return testing::internal::GetCapturedStderr();
  };
  const std::string time = R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)";
  const std::string text = written("text");
  EXPECT_TRUE(std::regex_match(
      text, std::regex(time + " error append_failed job=12 step=41: disk\\\\nfull\n")))
      << text;
}

TEST(Log, WritesOneJsonObjectALine) {
  testing::internal::CaptureStderr();
  StartLog({"json", "debug"});
  WriteLog({LogLevel::kDebug, "committed", "ünd\n", "12", 41});
  const std::string out = testing::internal::GetCapturedStderr();
  ASSERT_EQ(std::count(out.begin(), out.end(), '\n'), 1) << out;
  const auto json = nlohmann::json::parse(out);
  EXPECT_EQ(json["level"], "debug");
  EXPECT_EQ(json["event"], "committed");
  EXPECT_EQ(json["step"], 41);
  EXPECT_EQ(json["message"], "ünd\n");
  EXPECT_TRUE(std::regex_match(json["time"].get<std::string>(),
                               std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")));
}

}  // namespace
}  // namespace hatchery

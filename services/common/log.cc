// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "services/common/printable.h"

namespace hatchery {
namespace {

constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v";
constexpr char kJsonPattern[] = R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v)";

bool json_lines = false;  // set by StartLog, before there are threads

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// A value of a field of the text form: no space may end it early.
std::string Word(const std::string& value) {
  std::string word = Printable(value);
  std::replace(word.begin(), word.end(), ' ', '_');
  return word;
}

}  // namespace

std::string LogText(const LogLine& line) {
  std::string text = Word(line.event);
  if (!line.job.empty()) text += " job=" + Word(line.job);
  if (line.step) text += " step=" + std::to_string(*line.step);
  if (!line.worker.empty()) text += " worker=" + Word(line.worker);
  return text + ": " + Printable(line.message);
}

std::string LogJson(const LogLine& line) {
  nlohmann::ordered_json fields = {{"event", line.event}};
  if (!line.job.empty()) fields["job"] = line.job;
  if (line.step) fields["step"] = *line.step;
  if (!line.worker.empty()) fields["worker"] = line.worker;
  fields["message"] = line.message;
  // ASCII only: no byte of a peer's can be anything but itself.
  return fields.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace).substr(1);
}

void AddLogOptions(CLI::App& app, LogOptions& options) {
  app.add_option("--log-format", options.format,
                 "how events are logged on stderr: text, or json, one object a line")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.add_option("--log-level", options.level,
                 "the least that is logged: debug (every step too), info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
}

void StartLog(const LogOptions& options) {
  json_lines = options.format == "json";
  const char* no_color = std::getenv("NO_COLOR");
  const bool plain = json_lines || (no_color != nullptr && *no_color != '\0');
  spdlog::drop("hatchery");  // of an earlier start
  auto logger = spdlog::stderr_color_mt(
      "hatchery", plain ? spdlog::color_mode::never : spdlog::color_mode::automatic);
  logger->set_pattern(json_lines ? kJsonPattern : kTextPattern, spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(options.level));
  logger->flush_on(spdlog::level::err);
  spdlog::set_default_logger(std::move(logger));
  std::atexit([] { spdlog::default_logger_raw()->flush(); });
}

void WriteLog(const LogLine& line) {
  spdlog::logger& logger = *spdlog::default_logger_raw();
  const auto level = LevelOf(line.level);
  if (!logger.should_log(level)) return;
  logger.log(level, spdlog::string_view_t(json_lines ? LogJson(line) : LogText(line)));
}

}  // namespace hatchery

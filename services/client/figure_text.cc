// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/figure_text.h"

#include <cstdio>
#include <ctime>

namespace hatchery {
namespace {

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

std::string FormatTime(int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm fields{};
  gmtime_r(&time, &fields);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &fields);
  return text;
}

std::string FormatDuration(double seconds) {
  const auto s = static_cast<long long>(seconds + 0.5);
  char text[64];
  if (s >= 3600) {
    std::snprintf(text, sizeof text, "%lldh%02lldm", s / 3600, s % 3600 / 60);
  } else if (s >= 60) {
    std::snprintf(text, sizeof text, "%lldm%02llds", s / 60, s % 60);
  } else {
    std::snprintf(text, sizeof text, "%llds", s);
  }
  return text;
}

std::string FormatRate(double value) {
  if (value >= 1e6) return Format("%.2f M", value / 1e6);
  if (value >= 1e4) return Format("%.1f k", value / 1e3);
  return Format("%.0f", value);
}

std::string FormatBitsPerByte(double value) { return value > 0 ? Format("%.3f", value) : "-"; }

}  // namespace hatchery

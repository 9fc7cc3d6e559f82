// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Figures as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace hatchery {

// "2026-01-31 12:00:00", UTC.
std::string FormatTime(int64_t unix_seconds);
// "1h02m", "3m20s", "12s".
std::string FormatDuration(double seconds);
// "950", "12.3 k", "4.56 M".
std::string FormatRate(double value);
// "3.106", or "-" where nothing was measured yet.
std::string FormatBitsPerByte(double value);

}  // namespace hatchery

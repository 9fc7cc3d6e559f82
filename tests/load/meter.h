// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What /proc tells of memory and processors.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace hatchery::load {

// Bytes that the process holds in memory; 0 if there is no such process.
uint64_t ResidentBytes(pid_t pid);

// Seconds of processor time since start-up.
struct CpuTimes {
  double machine = 0;  // of the processors that this process may use: busy, whoever used them,
  double stolen = 0;   // and of that, taken by the machine's host
  double process = 0;  // of the process asked for
  double own = 0;      // of this process
};
CpuTimes ReadCpuTimes(pid_t pid);
// Processors that this process may use.
int Processors();

// The slope of a straight line through points (x, y), by least squares; 0 for fewer than two.
double Slope(const std::vector<std::pair<double, double>>& points);

}  // namespace hatchery::load

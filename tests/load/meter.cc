// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/load/meter.h"

#include <sched.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace hatchery::load {
namespace {

cpu_set_t Affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  return set;
}

double Seconds(uint64_t ticks) {
  return static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double ProcessSeconds(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  uint64_t user = 0, system = 0;
  fields >> user >> system;
  return Seconds(user + system);
}

}  // namespace

uint64_t ResidentBytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

CpuTimes ReadCpuTimes(pid_t pid) {
  const cpu_set_t ours = Affinity();
  CpuTimes times;
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    fields >> name;
    if (name.rfind("cpu", 0) != 0 || name.size() == 3) continue;
    if (!CPU_ISSET(std::stoul(name.substr(3)), &ours)) continue;
    uint64_t user, nice, system, idle, iowait, irq, softirq, steal;
    fields >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal;
    times.machine += Seconds(user + nice + system + irq + softirq + steal);
    times.stolen += Seconds(steal);
  }
  times.process = ProcessSeconds(pid);
  times.own = ProcessSeconds(getpid());
  return times;
}

int Processors() {
  const cpu_set_t set = Affinity();
  return CPU_COUNT(&set);
}

double Slope(const std::vector<std::pair<double, double>>& points) {
  double x = 0, y = 0, xx = 0, xy = 0;
  const double n = static_cast<double>(points.size());
  for (const auto& [px, py] : points) {
    x += px;
    y += py;
    xx += px * px;
    xy += px * py;
  }
  const double spread = n * xx - x * x;
  return points.size() < 2 || spread <= 0 ? 0 : (n * xy - x * y) / spread;
}

}  // namespace hatchery::load

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <sys/timex.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <thread>

#include "services/doctor/checks.h"

namespace hatchery::doctor {
namespace {

constexpr int kLooks = 25;
constexpr auto kBetweenLooks = std::chrono::milliseconds(10);
constexpr double kJump = 0.05;                                   // seconds
constexpr double kShown = 0.01;                                  // seconds; less is not told
constexpr double kTolerated = 2;                                 // seconds between two machines
constexpr std::time_t kBuildsDidNotExistBefore = 1'735'689'600;  // 2025

double Seconds(clockid_t clock) {
  timespec time = {};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The farthest that the wall clock ran from the steady one.
double LargestJump() {
  const double begin = Seconds(CLOCK_REALTIME) - Seconds(CLOCK_MONOTONIC);
  double largest = 0;
  for (int look = 0; look < kLooks; ++look) {
    std::this_thread::sleep_for(kBetweenLooks);
    // The two are read one after the other, and we may be put aside in between: the nearest of
    // some.
    double nearest = 1e9;
    for (int i = 0; i < 3; ++i)
      nearest =
          std::min(nearest, std::abs(Seconds(CLOCK_REALTIME) - Seconds(CLOCK_MONOTONIC) - begin));
    largest = std::max(largest, nearest);
  }
  return largest;
}

}  // namespace

Checks CheckClock() {
  if (std::time(nullptr) < kBuildsDidNotExistBefore)
    return {{Verdict::kBad, "clock", "it is years behind",
             "set it (timedatectl set-ntp true): TLS certificates are not valid yet"}};
  const double jump = LargestJump();
  if (jump > kJump) {
    char text[96];
    std::snprintf(text, sizeof text, "it jumped by %.0f ms within a quarter of a second",
                  jump * 1e3);
    return {{Verdict::kWarn, "clock", text,
             "have one program alone set it; only the times in logs and lists suffer"}};
  }
  timex state = {};
  const int synchronised = ntp_adjtime(&state);
  if (synchronised == TIME_ERROR)
    return {{Verdict::kWarn, "clock", "steady, but nothing keeps it right",
             "run an NTP service (timedatectl set-ntp true); only the times in logs and lists "
             "suffer"}};
  return {{Verdict::kOk, "clock",
           synchronised < 0 ? "steady; the system does not tell whether it is kept right"
                            : "steady and kept right"}};
}

Check JudgeOffset(double seconds, double margin) {
  char text[128];
  if (std::abs(seconds) < kShown) {
    std::snprintf(text, sizeof text, "the coordinator's is within %.2f s of ours",
                  std::max(kShown, margin));
  } else {
    std::snprintf(text, sizeof text, "the coordinator's is %.2f s %s ours, give or take %.2f s",
                  std::abs(seconds), seconds >= 0 ? "ahead of" : "behind", margin);
  }
  if (std::abs(seconds) <= kTolerated + margin) return {Verdict::kOk, "clocks", text};
  return {Verdict::kWarn, "clocks", text,
          "run an NTP service on both; training does not mind, times in logs and the validity of "
          "certificates do"};
}

}  // namespace hatchery::doctor

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// TensorBoard's event files: records in the framing of TensorFlow's TFRecord files, each with an
// Event.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace hatchery::report {

// The scalars of one step.
struct ScalarEvent {
  double wall_time = 0;  // seconds since 1970; 0: unknown
  uint32_t step = 0;
  std::vector<std::pair<std::string, double>> values;  // tag, value
};

// A whole event file.
std::string EncodeEventFile(std::span<const ScalarEvent> events);

}  // namespace hatchery::report

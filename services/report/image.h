// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "kernels/status.h"

namespace hatchery::report {

// The picture that `svg` describes as a PNG file's bytes, two pixels a user unit.
// kFailedPrecondition in a build without librsvg.
StatusOr<std::string> SvgToPng(const std::string& svg);

}  // namespace hatchery::report

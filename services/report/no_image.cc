// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// In place of image.cc, where there is no librsvg.
#include "services/report/image.h"

namespace hatchery::report {

StatusOr<std::string> SvgToPng(const std::string&) {
  return FailedPrecondition(
      "this build writes no PNG: librsvg was not there; give a file that ends with .svg, or "
      "install "
      "librsvg2-dev and build again");
}

}  // namespace hatchery::report

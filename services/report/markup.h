// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace hatchery::report {

// `text`, which may be any bytes, as it must stand in HTML and SVG, in an element or in a quoted
// attribute: markup is escaped; line ends and tabs stay; bytes that are no UTF-8 and characters
// that cannot be seen or that turn the direction of writing are shown as \x1b or \u202e.
std::string EscapeMarkup(std::string_view text);

}  // namespace hatchery::report

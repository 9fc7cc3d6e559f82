// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace hatchery {

// `text` as one line that changes nothing but its own place on a terminal, and from which it can be
// read back: valid UTF-8 stays, and all else becomes \n, \r, \t, \\ or \xNN a byte: control
// characters (C0, DEL, C1), line separators, marks that reorder or hide text, bytes of no
// character.
std::string Printable(std::string_view text);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace hatchery {

// Whether only this machine can be at HOST:PORT: localhost, 127.0.0.0/8 or [::1]. Any other name
// is taken for another machine's, even if it resolves to this one.
bool IsLoopback(std::string_view address);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "kernels/status.h"

namespace hatchery {

// OK if `address` is HOST:PORT (an IPv6 host in brackets) with a port up to 65535; kInvalidArgument
// names it and `option`, where it was given.
Status CheckAddress(std::string_view address, std::string_view option);

// Whether only this machine can be at HOST:PORT: localhost, 127.0.0.0/8 or [::1]. Any other name
// is taken for another machine's, even if it resolves to this one.
bool IsLoopback(std::string_view address);

}  // namespace hatchery

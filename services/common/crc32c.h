// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace hatchery {

// CRC-32C (Castagnoli; RFC 3720, appendix B.4) of `bytes`; pass the CRC of what came before to go
// on.
uint32_t Crc32c(std::string_view bytes, uint32_t crc = 0);

}  // namespace hatchery

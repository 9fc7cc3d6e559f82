// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// As sysctl(3) of macOS declares it.
#pragma once

#include <cstddef>

int sysctlbyname(const char* name, void* value, size_t* size, void* new_value, size_t new_size);

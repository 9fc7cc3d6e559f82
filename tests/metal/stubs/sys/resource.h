// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// With what setpriority(2) of macOS adds.
#pragma once

#include_next <sys/resource.h>

#define PRIO_DARWIN_THREAD __priority_which(3)
#define PRIO_DARWIN_BG 0x1000

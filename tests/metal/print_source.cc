// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Prints what Metal is given to compile.
#include <iostream>

#include "metal/kernel_source.h"

int main() { std::cout << hatchery::apple::KernelSource(); }

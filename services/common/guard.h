// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <exception>
#include <iostream>
#include <new>

namespace hatchery {

// Whether everything printed on stdout went out. A full device shows only when the buffer is
// flushed, and then as nothing but a flag.
inline bool FlushOutput() {
  std::cout.flush();
  return std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good();
}

// Runs the body of a program's main. Whatever it throws becomes one line and exit code 1, and so
// does output that could not be written.
template <typename Body>
int GuardedMain(const char* program, const Body& body) {
  int code = 1;
  try {
    code = body();
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: out of memory; use a smaller model or population, or fewer threads\n",
                 program);
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 1;
  }
  if (FlushOutput() || code != 0) return code;
  std::fprintf(stderr, "%s: cannot write to stdout; free some space or print elsewhere\n", program);
  return 1;
}

}  // namespace hatchery

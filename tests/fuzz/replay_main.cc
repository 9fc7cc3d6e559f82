// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Stands in for libFuzzer: TARGET DIRECTORY [NAME REACHES]... runs the target once on every file of
// the directory. A file that is named must reach so far: otherwise a mistake in the target would
// keep all inputs from what it is to test, and nobody would notice.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  std::map<std::string, size_t> must_reach;
  for (int i = 2; i + 1 < argc; i += 2) must_reach[argv[i]] = std::stoul(argv[i + 1]);
  size_t inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    std::fprintf(stderr, "%s\n", entry.path().c_str());
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    ++inputs;
    const auto must = must_reach.find(entry.path().filename().string());
    if (must == must_reach.end()) continue;
    if (hatchery::fuzz::reached < must->second) {
      std::fprintf(stderr, "it reached %zu, not %zu\n", hatchery::fuzz::reached, must->second);
      return 1;
    }
    must_reach.erase(must);
  }
  for (const auto& [name, reaches] : must_reach)
    std::fprintf(stderr, "%s, which must reach %zu, is missing\n", name.c_str(), reaches);
  std::fprintf(stderr, "%zu inputs\n", inputs);
  return inputs > 0 && must_reach.empty() ? 0 : 1;
}

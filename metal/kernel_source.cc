// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "metal/kernel_source.h"

#include <cassert>
#include <set>
#include <string_view>

namespace hatchery::apple {
namespace {

struct SourceFile {
  std::string_view name, text;
};
constexpr SourceFile kFiles[] = {
#include "kernel_sources.inc"
};

std::string_view TextOf(std::string_view name) {
  for (const SourceFile& file : kFiles)
    if (file.name == name) return file.text;
  assert(!"a header is missing from HATCHERY_METAL_SOURCES in metal/CMakeLists.txt");
  return {};
}

// Appends `text` with the headers of ours that it includes and that are not in `done` yet.
void Append(std::string_view text, std::set<std::string_view>& done, std::string& out) {
  constexpr std::string_view kInclude = "#include \"", kOnce = "#pragma once";
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.starts_with(kInclude)) {
      const std::string_view name = line.substr(kInclude.size(), line.rfind('"') - kInclude.size());
      if (done.insert(name).second) Append(TextOf(name), done, out);
    } else if (line != kOnce) {
      out.append(line).append("\n");
    }
  }
}

}  // namespace

std::string KernelSource() {
  std::string source;
  std::set<std::string_view> done;
  for (const SourceFile& file : kFiles)
    if (file.name.ends_with(".metal")) Append(file.text, done, source);
  return source;
}

}  // namespace hatchery::apple

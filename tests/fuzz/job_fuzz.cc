// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The job parser: a YAML file, and after each zero byte one --set.
#include <cstdio>

#include "services/client/job_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < size; ++i) {
    if (data[i] == 0)
      parts.emplace_back();
    else
      parts.back() += static_cast<char>(data[i]);
  }
  std::FILE* file = std::tmpfile();
  std::fwrite(parts[0].data(), 1, parts[0].size(), file);
  std::rewind(file);  // and writes what is buffered
  const auto job = hatchery::ReadJobFile("/dev/fd/" + std::to_string(fileno(file)),
                                         {parts.begin() + 1, parts.end()});
  std::fclose(file);
  // One line, whatever was in the file.
  if (!job.ok() && job.status().message().find('\n') != std::string::npos) __builtin_trap();
  return 0;
}

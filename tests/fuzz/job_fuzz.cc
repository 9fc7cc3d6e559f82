// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The job parser: a YAML file, and after each zero byte one --set.
#include <sys/mman.h>
#include <unistd.h>

#include "services/client/job_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < size; ++i) {
    if (data[i] == 0)
      parts.emplace_back();
    else
      parts.back() += static_cast<char>(data[i]);
  }
  const int fd = memfd_create("job", 0);
  if (write(fd, parts[0].data(), parts[0].size()) < 0) return 0;
  const auto job = hatchery::ReadJobFile("/proc/self/fd/" + std::to_string(fd),
                                         {parts.begin() + 1, parts.end()});
  close(fd);
  // One line, whatever was in the file.
  if (!job.ok() && job.status().message().find('\n') != std::string::npos) __builtin_trap();
  return 0;
}

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Job files: YAML, with the proto's field names (proto/hatchery/v1/job.proto), plus `data` for
// where the text is on this machine.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hatchery/v1/job.pb.h"
#include "kernels/status.h"
#include "services/common/dataset.h"

namespace hatchery {

// What the user gave, before any data file is opened.
struct JobFile {
  v1::Job job;
  std::string data_path;           // data.file, relative to the working directory; may be empty
  std::string held_out_path;       // data.held_out_file, likewise
  uint32_t held_out_percent = 10;  // of data.file, its end, if there is no held_out_file
  // Where each given field is, by dotted name: "job.yaml:3" or "--set".
  std::map<std::string, std::string> origins;
};

// Reads `path`, then applies `sets`, each "dotted.field=value". Errors name file and line (or the
// --set), the dotted field, the value and what is allowed.
StatusOr<JobFile> ReadJobFile(const std::string& path, const std::vector<std::string>& sets);

// A job whose data is at hand.
struct PreparedJob {
  v1::Job job;
  std::shared_ptr<const MappedFile> train, held_out;  // may be the same file
};

// Opens and hashes the data (`data_override`, if not empty, in place of data.file), sets the job's
// splits, and validates the whole.
StatusOr<PreparedJob> PrepareJob(JobFile file, const std::string& data_override);

}  // namespace hatchery

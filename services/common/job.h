// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The protobuf job: defaults, checks, JSON text, and the way to the kernels' JobSpec.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "hatchery/v1/job.pb.h"
#include "kernels/job_spec.h"
#include "kernels/status.h"

namespace hatchery {

// A job with every field at its default: those of kernels/job_spec.h, no data.
v1::Job DefaultJob();

// The job's spec, after checking everything but the data: every integer in its (range), enums
// known, the fields fit together. An error names the dotted field, its value and unit, and the
// allowed range.
StatusOr<JobSpec> SpecFromJob(const v1::Job& job);

// OK if `value` is in the field's (range) or (signed_range); `name` is its dotted name, for the
// message.
Status CheckInteger(const std::string& name, const google::protobuf::FieldDescriptor& field,
                    uint64_t value);
Status CheckInteger(const std::string& name, const google::protobuf::FieldDescriptor& field,
                    int32_t value);

// OK if the job can run: SpecFromJob's checks, and the data splits are consistent and long enough.
Status ValidateJob(const v1::Job& job);

// OK if the two jobs have the same bytes: equal but for the name and the service fields. An error
// (kFailedPrecondition) names the first field that differs and both values.
Status CheckSameRun(const v1::Job& ours, const v1::Job& theirs);

// The job as one line of JSON with the proto's field names; and back. Unknown fields are errors.
std::string JobToJson(const v1::Job& job);
StatusOr<v1::Job> JobFromJson(std::string_view json);

// Scored tokens of one step: population * window.
uint64_t TokensPerStep(const v1::Job& job);
// Whether the held-out data is measured on the weights of `step`, before that step's commit. The
// final weights are always measured, if there is held-out data.
bool ValidatesAt(const v1::Job& job, uint32_t step);
bool HasHeldOut(const v1::Job& job);

}  // namespace hatchery

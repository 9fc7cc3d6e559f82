// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/job.h"

#include <google/protobuf/util/json_util.h>

#include <limits>

#include "hatchery/v1/options.pb.h"
#include "kernels/model.h"
#include "kernels/replica.h"
#include "services/common/sha256.h"

namespace hatchery {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string NamesOf(const EnumDescriptor& type) {
  std::string names;
  for (int i = 0; i < type.value_count(); ++i)
    names += (i == 0 ? "" : ", ") + std::string(type.value(i)->name());
  return names;
}

// Checks every field of `message` by its options. `prefix` is "" or "noise.".
Status CheckFields(const Message& message, const std::string& prefix) {
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    const std::string name = prefix + std::string(field.name());
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        HATCHERY_RETURN_IF_ERROR(CheckFields(reflection.GetMessage(message, &field), name + "."));
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        HATCHERY_RETURN_IF_ERROR(
            CheckInteger(name, field, uint64_t{reflection.GetUInt32(message, &field)}));
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        HATCHERY_RETURN_IF_ERROR(
            CheckInteger(name, field, uint64_t{reflection.GetUInt64(message, &field)}));
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        if (field.enum_type()->FindValueByNumber(reflection.GetEnumValue(message, &field)) ==
            nullptr)
          return InvalidArgument(name + " is " +
                                 std::to_string(reflection.GetEnumValue(message, &field)) +
                                 ", which is none of " + NamesOf(*field.enum_type()))
              .About(name);
        break;
      default:
        break;
    }
  }
  return {};
}

Status CheckName(const std::string& name) {
  if (name.size() > 128)
    return InvalidArgument("name has " + std::to_string(name.size()) +
                           " bytes; it must have at most 128")
        .About("name");
  for (unsigned char c : name)
    if (c < 0x20 || c > 0x7E)
      return InvalidArgument("name contains a byte that is not printable ASCII").About("name");
  return {};
}

Status CheckInitial(const v1::Job& job) {
  if (job.initial_digest().empty() != job.initial_sha256().empty())
    return InvalidArgument("initial_digest and initial_sha256 go together; one of them is empty")
        .About(job.initial_digest().empty() ? "initial_digest" : "initial_sha256");
  if (job.initial_digest().empty()) return {};
  if (auto digest = ParseDigest(job.initial_digest()); !digest.ok())
    return InvalidArgument("initial_digest: " + digest.status().message()).About("initial_digest");
  if (!IsSha256Hex(job.initial_sha256()))
    return InvalidArgument("initial_sha256 is not 64 lower-case hex digits")
        .About("initial_sha256");
  return {};
}

// Apart from CheckFields: it changes nothing of a run, so that journals of jobs outside the range,
// which was not always checked, stay readable.
Status CheckPriority(const v1::Job& job) {
  return CheckInteger("priority", *v1::Job::descriptor()->FindFieldByName("priority"),
                      job.priority());
}

Status CheckSplit(const std::string& name, const v1::DataSplit& split) {
  auto number = [](uint64_t v) { return std::to_string(v); };
  if (split.begin() > split.end() || split.end() > split.file_bytes())
    return InvalidArgument(name + " is bytes [" + number(split.begin()) + ", " +
                           number(split.end()) + ") of a file of " + number(split.file_bytes()) +
                           " bytes; it must lie inside the file")
        .About(name);
  if (split.begin() == split.end()) return {};
  if (!IsSha256Hex(split.sha256()))
    return InvalidArgument(name + ".sha256 is '" + split.sha256().substr(0, 80) +
                           "'; it must be 64 lower-case hex digits")
        .About(name + ".sha256");
  return {};
}

// Fields that change neither the bytes of a run nor what its commits say of it. validate_every is
// none: commits carry the held-out sums, so it is part of the run.
bool IsServiceField(const FieldDescriptor& field) {
  return field.containing_type() == v1::Job::descriptor() &&
         (field.name() == "name" || (field.number() >= 21 && field.number() < 30));
}

std::string TextOf(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return std::to_string(reflection.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return std::to_string(reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(reflection.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return std::string(reflection.GetEnum(message, &field)->name());
    case FieldDescriptor::CPPTYPE_STRING:
      return std::string("'").append(reflection.GetString(message, &field)).append("'");
    default:
      return "?";
  }
}

Status CheckEqual(const Message& ours, const Message& theirs, const std::string& prefix) {
  for (int i = 0; i < ours.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *ours.GetDescriptor()->field(i);
    if (IsServiceField(field)) continue;
    const std::string name = prefix + std::string(field.name());
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      HATCHERY_RETURN_IF_ERROR(CheckEqual(ours.GetReflection()->GetMessage(ours, &field),
                                          theirs.GetReflection()->GetMessage(theirs, &field),
                                          name + "."));
      continue;
    }
    const std::string a = TextOf(ours, field), b = TextOf(theirs, field);
    if (a == b) continue;
    const std::string hint =
        name == "initial_digest" ? " (the weights it starts from: the same --init-from)" : "";
    return FailedPrecondition(name + " is " + a + " here and " + b + " there" + hint);
  }
  return {};
}

}  // namespace

v1::Job DefaultJob() {
  const JobSpec spec;
  v1::Job job;
  job.mutable_model()->set_hidden(spec.hidden);
  job.mutable_model()->set_layers(spec.layers);
  v1::Noise& noise = *job.mutable_noise();
  noise.set_seed(spec.seed);
  noise.set_rank(spec.rank);
  noise.set_sigma_shift(spec.sigma_shift);
  noise.set_reuse(spec.noise_reuse);
  job.set_population(spec.population);
  job.set_group_size(spec.group_size);
  job.set_window(spec.window);
  job.set_burn_in(spec.burn_in);
  job.mutable_update()->set_alpha_start(spec.alpha_start);
  job.mutable_update()->set_alpha_decay_bits(spec.alpha_decay_bits);
  job.mutable_update()->set_alpha_decay_steps(spec.alpha_decay_steps);
  job.set_steps(spec.steps);
  job.set_held_out_streams(spec.held_out_streams);
  job.set_checkpoints_kept(3);
  return job;
}

Status CheckInteger(const std::string& name, const google::protobuf::FieldDescriptor& field,
                    uint64_t value) {
  if (!field.options().HasExtension(v1::range)) return {};
  const v1::Range& range = field.options().GetExtension(v1::range);
  if (value >= range.min() && value <= range.max()) return {};
  const std::string unit = field.options().GetExtension(v1::unit);
  return InvalidArgument(name + " is " + std::to_string(value) + (unit.empty() ? "" : " " + unit) +
                         "; it must be in [" + std::to_string(range.min()) + ", " +
                         std::to_string(range.max()) + "]")
      .About(name);
}

Status CheckInteger(const std::string& name, const google::protobuf::FieldDescriptor& field,
                    int32_t value) {
  if (!field.options().HasExtension(v1::signed_range)) return {};
  const v1::SignedRange& range = field.options().GetExtension(v1::signed_range);
  if (value >= range.min() && value <= range.max()) return {};
  return InvalidArgument(name + " is " + std::to_string(value) + "; it must be in [" +
                         std::to_string(range.min()) + ", " + std::to_string(range.max()) + "]")
      .About(name);
}

StatusOr<JobSpec> SpecFromJob(const v1::Job& job) {
  HATCHERY_RETURN_IF_ERROR(CheckFields(job, ""));
  HATCHERY_RETURN_IF_ERROR(CheckName(job.name()));
  HATCHERY_RETURN_IF_ERROR(CheckInitial(job));
  JobSpec spec;
  spec.hidden = job.model().hidden();
  spec.layers = job.model().layers();
  spec.seed = job.noise().seed();
  spec.noise =
      job.noise().kind() == v1::Noise::GAUSSIAN ? core::Noise::kGaussian : core::Noise::kRademacher;
  spec.rank = job.noise().rank();
  spec.sigma_shift = job.noise().sigma_shift();
  spec.noise_reuse = job.noise().reuse();
  spec.population = job.population();
  spec.group_size = job.group_size();
  spec.window = job.window();
  spec.burn_in = job.burn_in();
  spec.held_out_streams = job.held_out_streams();
  spec.fitness = job.fitness() == v1::NORMALIZED ? FitnessRule::kNormalized : FitnessRule::kSign;
  spec.steps = job.steps();
  spec.alpha_start = job.update().alpha_start();
  spec.alpha_decay_bits = job.update().alpha_decay_bits();
  spec.alpha_decay_steps = job.update().alpha_decay_steps();
  HATCHERY_RETURN_IF_ERROR(spec.Validate());
  return spec;
}

Status ValidateJob(const v1::Job& job) {
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  HATCHERY_RETURN_IF_ERROR(CheckPriority(job));
  HATCHERY_RETURN_IF_ERROR(CheckSplit("train", job.train()));
  HATCHERY_RETURN_IF_ERROR(CheckSplit("held_out", job.held_out()));
  return CheckDataSizes(spec, job.train().end() - job.train().begin(),
                        job.held_out().end() - job.held_out().begin());
}

Status CheckSameRun(const v1::Job& ours, const v1::Job& theirs) {
  return CheckEqual(ours, theirs, "");
}

std::string JobToJson(const v1::Job& job) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
#if GOOGLE_PROTOBUF_VERSION < 5026000  // renamed in 26
  options.always_print_primitive_fields = true;
#else
  options.always_print_fields_with_no_presence = true;
#endif
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(job, &json, options);
  assert(status.ok());
  (void)status;
  return json;
}

StatusOr<v1::Job> JobFromJson(std::string_view json) {
  v1::Job job;
  const auto status = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &job);
  if (!status.ok()) {  // its message has an excerpt and a caret on lines of their own
    const std::string message(status.message());
    return InvalidArgument("not a job in JSON: " + message.substr(0, message.find('\n')));
  }
  return job;
}

uint64_t TokensPerStep(const v1::Job& job) { return uint64_t{job.population()} * job.window(); }

bool HasHeldOut(const v1::Job& job) { return job.held_out().end() > job.held_out().begin(); }

bool ValidatesAt(const v1::Job& job, uint32_t step) {
  return HasHeldOut(job) && job.validate_every() != 0 && step % job.validate_every() == 0;
}

}  // namespace hatchery

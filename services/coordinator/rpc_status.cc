// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/rpc_status.h"

#include <string>
#include <string_view>

#include "hatchery/v1/error_details.pb.h"

namespace hatchery::coordinator {
namespace {

constexpr int kRetrySeconds = 5;  // until a limit may have freed up

grpc::StatusCode GrpcCode(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return grpc::StatusCode::OK;
    case StatusCode::kInvalidArgument:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case StatusCode::kNotFound:
      return grpc::StatusCode::NOT_FOUND;
    case StatusCode::kAlreadyExists:
      return grpc::StatusCode::ALREADY_EXISTS;
    case StatusCode::kFailedPrecondition:
      return grpc::StatusCode::FAILED_PRECONDITION;
    case StatusCode::kResourceExhausted:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case StatusCode::kDataLoss:
      return grpc::StatusCode::DATA_LOSS;
    case StatusCode::kUnavailable:
      return grpc::StatusCode::UNAVAILABLE;
    case StatusCode::kCancelled:
      return grpc::StatusCode::CANCELLED;
    case StatusCode::kInternal:
      break;
  }
  return grpc::StatusCode::INTERNAL;
}

// Text may repeat what the peer sent: it goes back as one line, and not at any length.
std::string OneLine(const std::string& text) {
  std::string line = text.substr(0, 1024);
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) > 126) c = ' ';
  return line;
}

template <typename Detail>
void Add(v1::ErrorStatus& error, const Detail& detail) {
  google::protobuf::Any& any = *error.add_details();
  any.set_type_url("type.googleapis.com/google.rpc." + std::string(Detail::descriptor()->name()));
  any.set_value(detail.SerializeAsString());
}

void AddBadRequest(v1::ErrorStatus& error, const std::string& field) {
  v1::BadRequest detail;
  auto& violation = *detail.add_field_violations();
  violation.set_field(field);
  violation.set_description(error.message());
  Add(error, detail);
}

// The two parts of a subject such as "job/7".
struct Thing {
  explicit Thing(const std::string& subject)
      : type(subject.substr(0, subject.find('/'))),
        name(type.size() == subject.size() ? "" : subject.substr(type.size() + 1)) {}
  std::string type, name;
};

void AddResourceInfo(v1::ErrorStatus& error, const Thing& thing) {
  v1::ResourceInfo detail;
  detail.set_resource_type(thing.type);
  detail.set_resource_name(thing.name);
  detail.set_description(error.message());
  Add(error, detail);
}

void AddPreconditionFailure(v1::ErrorStatus& error, const Thing& thing) {
  v1::PreconditionFailure detail;
  auto& violation = *detail.add_violations();
  violation.set_type(thing.type);
  violation.set_subject(thing.name);
  violation.set_description(error.message());
  Add(error, detail);
}

void AddQuotaFailure(v1::ErrorStatus& error, const std::string& option) {
  v1::QuotaFailure detail;
  auto& violation = *detail.add_violations();
  violation.set_subject(option);
  violation.set_description(error.message());
  Add(error, detail);
  v1::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(kRetrySeconds);
  Add(error, retry);
}

}  // namespace

grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) return {};
  const grpc::StatusCode code = GrpcCode(status.code());
  const std::string subject = OneLine(status.subject());
  v1::ErrorStatus error;
  error.set_code(code);
  error.set_message(OneLine(status.message()));
  if (subject.empty()) return {code, error.message()};
  if (code == grpc::StatusCode::INVALID_ARGUMENT) AddBadRequest(error, subject);
  if (code == grpc::StatusCode::NOT_FOUND) AddResourceInfo(error, Thing(subject));
  if (code == grpc::StatusCode::FAILED_PRECONDITION) AddPreconditionFailure(error, Thing(subject));
  if (code == grpc::StatusCode::RESOURCE_EXHAUSTED) AddQuotaFailure(error, subject);
  return {code, error.message(), error.SerializeAsString()};
}

}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a program learns from the coordinator's errors, beside the line for people.
#include <grpcpp/grpcpp.h>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "hatchery/v1/error_details.pb.h"
#include "services/common/job.h"
#include "tests/service/cluster.h"

namespace hatchery::test {
namespace {

class ErrorDetails : public Cluster {
 protected:
  void SetUp() override {
    Cluster::SetUp();
    coordinator_.emplace(StartCoordinator({}, {"--max-unfinished-jobs", "1"}));
    stub_ = v1::ClientService::NewStub(
        grpc::CreateChannel(Address(), grpc::InsecureChannelCredentials()));
  }

  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  }
  grpc::Status Submit(const v1::Job& job) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::SubmitJobRequest request;
    *request.mutable_job() = job;
    v1::SubmitJobResponse response;
    return stub_->SubmitJob(&context, request, &response);
  }
  grpc::Status Resume(const std::string& id) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::ChangeJobRequest request;
    request.set_job_id(id);
    v1::JobState state;
    return stub_->ResumeJob(&context, request, &state);
  }

  // The detail of that type; fails the test unless the error carries it, and repeats itself.
  template <typename Detail>
  static Detail DetailOf(const grpc::Status& status) {
    v1::ErrorStatus error;
    Detail detail;
    EXPECT_TRUE(error.ParseFromString(status.error_details()));
    EXPECT_EQ(error.code(), status.error_code());
    EXPECT_EQ(error.message(), status.error_message());
    for (const auto& any : error.details())
      if (any.type_url() == "type.googleapis.com/google.rpc." + Detail::descriptor()->name()) {
        EXPECT_TRUE(detail.ParseFromString(any.value()));
        return detail;
      }
    ADD_FAILURE() << "no " << Detail::descriptor()->name() << " in: " << error.ShortDebugString();
    return detail;
  }
  static void ExpectField(const grpc::Status& status, const std::string& field) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    const auto detail = DetailOf<v1::BadRequest>(status);
    ASSERT_EQ(detail.field_violations_size(), 1);
    EXPECT_EQ(detail.field_violations(0).field(), field);
    EXPECT_EQ(detail.field_violations(0).description(), status.error_message());
  }

  std::optional<Process> coordinator_;
  std::unique_ptr<v1::ClientService::Stub> stub_;
};

// A job that only lacks its data.
v1::Job JobOf(uint64_t file_bytes) {
  v1::Job job = DefaultJob();
  job.set_steps(1);
  job.mutable_train()->set_sha256(std::string(64, 'a'));
  job.mutable_train()->set_file_bytes(file_bytes);
  job.mutable_train()->set_end(file_bytes);
  return job;
}

TEST_F(ErrorDetails, AnInvalidSubmitNamesTheField) {
  v1::Job job = JobOf(1 << 20);
  job.mutable_noise()->set_rank(9);
  ExpectField(Submit(job), "job.noise.rank");
  job = JobOf(1 << 20);
  job.set_population(job.group_size() + 1);
  ExpectField(Submit(job), "job.population");
  job = JobOf(1 << 20);
  job.set_name("two\nlines");
  ExpectField(Submit(job), "job.name");
  job = JobOf(1 << 20);
  job.set_priority(1 << 30);
  ExpectField(Submit(job), "job.priority");
  job = JobOf(1 << 20);
  job.mutable_train()->set_sha256("short");
  ExpectField(Submit(job), "job.train.sha256");
  ExpectField(Submit(JobOf(3)), "job.train");
}

TEST_F(ErrorDetails, WhatIsMissingIsNamed) {
  const grpc::Status missing = Submit(JobOf(1 << 20));
  EXPECT_EQ(missing.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  const auto failure = DetailOf<v1::PreconditionFailure>(missing);
  ASSERT_EQ(failure.violations_size(), 1);
  EXPECT_EQ(failure.violations(0).type(), "file");
  EXPECT_EQ(failure.violations(0).subject(), std::string(64, 'a'));

  const grpc::Status unknown = Resume("nonesuch");
  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::NOT_FOUND);
  const auto resource = DetailOf<v1::ResourceInfo>(unknown);
  EXPECT_EQ(resource.resource_type(), "job");
  EXPECT_EQ(resource.resource_name(), "nonesuch");
  EXPECT_EQ(resource.description(), unknown.error_message());
}

TEST_F(ErrorDetails, AStateThatForbidsIsNamed) {
  const std::string id = Cluster::Submit("job.yaml");
  ASSERT_EQ(Client({"cancel", id, "--coordinator", Address()}).code, 0);
  const auto failure = DetailOf<v1::PreconditionFailure>(Resume(id));
  ASSERT_EQ(failure.violations_size(), 1);
  EXPECT_EQ(failure.violations(0).type(), "job");
  EXPECT_EQ(failure.violations(0).subject(), id);
}

TEST_F(ErrorDetails, ALimitIsNamedWithATimeToWait) {
  const v1::Job job = [&] {
    const std::string id = Cluster::Submit("job.yaml");
    grpc::ClientContext context;
    SetDeadline(context);
    v1::GetJobRequest request;
    request.set_job_id(id);
    v1::JobState state;
    EXPECT_TRUE(stub_->GetJob(&context, request, &state).ok());
    return state.job();
  }();
  const grpc::Status full = Submit(job);
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const auto quota = DetailOf<v1::QuotaFailure>(full);
  ASSERT_EQ(quota.violations_size(), 1);
  EXPECT_EQ(quota.violations(0).subject(), "--max-unfinished-jobs");
  EXPECT_GT(DetailOf<v1::RetryInfo>(full).retry_delay().seconds(), 0);
}

}  // namespace
}  // namespace hatchery::test

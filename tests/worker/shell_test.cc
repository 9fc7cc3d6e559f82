// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A whole worker, with its real stream, files and replica, against a scripted coordinator.
#include "services/worker/shell.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <numeric>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "services/common/checkpoint.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/sha256.h"

namespace hatchery::worker {
namespace {

using Stream = grpc::ServerReaderWriter<v1::CoordinatorMessage, v1::WorkerMessage>;
using Script = std::function<grpc::Status(Stream&)>;

// Plays a script on every session; serves one data file and no checkpoint.
class FakeCoordinator final : public v1::WorkerService::Service {
 public:
  FakeCoordinator(std::string data, Script script) : data_(std::move(data)), script_(script) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  grpc::Status Session(grpc::ServerContext*, Stream* stream) override { return script_(*stream); }
  grpc::Status FetchFile(grpc::ServerContext*, const v1::FetchFileRequest*,
                         grpc::ServerWriter<v1::Chunk>* writer) override {
    v1::Chunk chunk;
    for (size_t at = 0; at < data_.size(); at += 1000) {
      chunk.set_data(data_.substr(at, 1000));
      writer->Write(chunk);
    }
    return {};
  }
  grpc::Status FetchCheckpoint(grpc::ServerContext*, const v1::FetchCheckpointRequest*,
                               grpc::ServerWriter<v1::CheckpointChunk>*) override {
    return {grpc::StatusCode::NOT_FOUND, "none yet"};
  }
  grpc::Status FetchCommits(grpc::ServerContext*, const v1::FetchCommitsRequest* request,
                            grpc::ServerWriter<v1::Commit>* writer) override {
    for (uint32_t s = request->from_step(); s < commits.size(); ++s) writer->Write(commits[s]);
    return {};
  }
  grpc::Status UploadCheckpoint(grpc::ServerContext*,
                                grpc::ServerReader<v1::UploadCheckpointRequest>* reader,
                                v1::UploadCheckpointResponse*) override {
    std::string bytes;
    v1::UploadCheckpointRequest request;
    for (bool first = true; reader->Read(&request); first = false) {
      if (first) ticket = request.ticket();
      bytes += request.data();
    }
    uploaded.set_value(std::move(bytes));
    return {};
  }

  std::vector<v1::Commit> commits;
  std::promise<std::string> uploaded;
  std::string ticket;  // of the upload

 private:
  const std::string data_;
  const Script script_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

std::string SomeText() {
  std::string text;
  for (int i = 0; i < 6000; ++i) text += static_cast<char>('a' + i * i % 23);
  return text;
}

v1::Job SmallJob(const std::string& text) {
  v1::Job job = DefaultJob();
  job.mutable_model()->set_hidden(16);
  job.mutable_model()->set_layers(1);
  job.set_population(40);
  job.set_window(8);
  job.set_steps(4);
  job.set_held_out_streams(4);
  job.mutable_train()->set_sha256(ToHex(Sha256Of(text)));
  job.mutable_train()->set_file_bytes(text.size());
  job.mutable_train()->set_end(5000);
  *job.mutable_held_out() = job.train();
  job.mutable_held_out()->set_begin(5000);
  job.mutable_held_out()->set_end(text.size());
  return job;
}

// The next message of a kind; heartbeats and others between are skipped.
v1::WorkerMessage Next(Stream& stream, v1::WorkerMessage::KindCase kind) {
  v1::WorkerMessage message;
  while (stream.Read(&message)) {
    if (message.kind_case() == kind) return message;
  }
  ADD_FAILURE() << "the worker ended the stream";
  return {};
}

class ShellTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cache_ = ::testing::TempDir() + "/hatchery-shell-test-" + std::to_string(getpid());
  }
  void TearDown() override { std::filesystem::remove_all(cache_); }

  StatusOr<int> Run(const FakeCoordinator& coordinator) {
    WorkerOptions options;
    options.coordinator = coordinator.address();
    options.cache_directory = cache_;
    options.create = FactoryOf({.name = "cpu", .threads = 1});
    return RunWorker(options, events_);
  }

  // A local replica of the same job, to compare with.
  static std::unique_ptr<Replica> LocalReplica(const v1::Job& job, const std::string& text) {
    const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    auto replica =
        CreateReplica(*SpecFromJob(job), {bytes.subspan(0, 5000), bytes.subspan(5000)}, {"cpu", 1});
    EXPECT_TRUE(replica.ok()) << replica.status().message();
    return std::move(*replica);
  }

  std::string cache_;
  EventQueue events_;
};

TEST_F(ShellTest, WorksAJob) {
  const std::string text = SomeText();
  const v1::Job job = SmallJob(text);
  const std::unique_ptr<Replica> replica = LocalReplica(job, text);
  FakeCoordinator* coordinator = nullptr;

  const auto digest = [&] { return DigestToBytes(*replica->DigestOfAll()); };
  const auto local_commit = [&](std::vector<int32_t>& scores) {
    EXPECT_TRUE(replica->Evaluate({0, 20}, {}, scores).ok());
    return MakeSignCommit(replica->spec(), replica->step(), EncodeSigns(scores));
  };
  std::vector<int32_t> scores(40);

  FakeCoordinator fake(text, [&](Stream& stream) -> grpc::Status {
    v1::WorkerMessage hello;
    stream.Read(&hello);
    EXPECT_EQ(hello.hello().backend(), "cpu");
    v1::CoordinatorMessage m;
    m.mutable_welcome()->set_heartbeat_seconds(1);
    *m.mutable_welcome()->mutable_task() = job;
    m.mutable_welcome()->set_task_data(text);
    stream.Write(m);
    EXPECT_EQ(Next(stream, v1::WorkerMessage::kKnownAnswer).known_answer().digest().size(), 16u);

    // It takes the job up at step 1: commit 0 must be fetched.
    m.mutable_assign()->set_job_id("j");
    *m.mutable_assign()->mutable_job() = job;
    m.mutable_assign()->set_step(1);
    stream.Write(m);
    const v1::WorkerMessage ready = Next(stream, v1::WorkerMessage::kReady);
    EXPECT_EQ(ready.ready().step(), 1u);
    EXPECT_EQ(ready.ready().digest(), digest());
    EXPECT_EQ(ready.ready().round_pairs(), replica->RoundPairs());

    m.mutable_lease()->set_job_id("j");
    m.mutable_lease()->set_step(1);
    m.mutable_lease()->set_lease_id(7);
    m.mutable_lease()->mutable_pairs()->set_begin(5);
    m.mutable_lease()->mutable_pairs()->set_end(15);
    stream.Write(m);
    const v1::Result result = Next(stream, v1::WorkerMessage::kResult).result();
    const Commit commit = local_commit(scores);
    const auto trits = EncodeSigns(std::span(scores).subspan(10, 20));
    EXPECT_EQ(result.scores().trits(), std::string(trits.begin(), trits.end()));
    EXPECT_EQ(result.scores().score_sum(),
              std::accumulate(scores.begin() + 10, scores.begin() + 30, int64_t{0}));
    EXPECT_EQ(result.digest(), digest());
    EXPECT_GT(result.seconds(), 0);

    // A commit, then the checkpoint and the held-out measure of the next step.
    *m.mutable_commit() = CommitToProto(commit, *replica->DigestOfAll());
    stream.Write(m);
    EXPECT_TRUE(replica->Apply(commit).ok());
    m.mutable_checkpoint_request()->set_job_id("j");
    m.mutable_checkpoint_request()->set_step(2);
    m.mutable_checkpoint_request()->set_ticket("for this worker alone");
    stream.Write(m);
    m.mutable_lease()->set_job_id("j");
    m.mutable_lease()->set_step(2);
    m.mutable_lease()->mutable_held_out()->set_begin(1);
    m.mutable_lease()->mutable_held_out()->set_end(4);
    stream.Write(m);
    const v1::Result held_out = Next(stream, v1::WorkerMessage::kResult).result();
    EXPECT_EQ(HeldOutFromProto(held_out.held_out()), *replica->Validate(1, 4, {}));
    EXPECT_EQ(held_out.digest(), digest());
    const StatusOr<Checkpoint> checkpoint =
        DecodeCheckpoint(coordinator->uploaded.get_future().get(), "uploaded");
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message();
    EXPECT_EQ(checkpoint->step, 2u);
    EXPECT_EQ(coordinator->ticket, "for this worker alone");
    EXPECT_EQ(DigestToBytes(checkpoint->digest), digest());

    // A range that the job has not is given back; an empty held-out range tells the digest.
    m.mutable_lease()->mutable_pairs()->set_end(21);
    m.mutable_lease()->set_lease_id(8);
    m.mutable_lease()->set_step(2);
    m.mutable_lease()->set_job_id("j");
    stream.Write(m);
    EXPECT_EQ(Next(stream, v1::WorkerMessage::kFailure).failure().lease_id(), 8u);
    m.mutable_lease()->mutable_held_out();
    stream.Write(m);
    EXPECT_EQ(Next(stream, v1::WorkerMessage::kResult).result().held_out().tokens(), 0u);

    events_.Push(StopRequested{"the test is over"});
    EXPECT_EQ(Next(stream, v1::WorkerMessage::kGoodbye).goodbye().reason(), "the test is over");
    return {};
  });
  coordinator = &fake;
  const Commit first = local_commit(scores);
  fake.commits.push_back(CommitToProto(first, *replica->DigestOfAll()));
  ASSERT_TRUE(replica->Apply(first).ok());

  const StatusOr<int> code = Run(fake);
  ASSERT_TRUE(code.ok()) << code.status().message();
  EXPECT_EQ(*code, 0);
  EXPECT_TRUE(std::filesystem::exists(cache_ + "/" + job.train().sha256()));
}

TEST_F(ShellTest, EndsWhenRefused) {
  const FakeCoordinator fake("", [](Stream& stream) -> grpc::Status {
    v1::WorkerMessage hello;
    stream.Read(&hello);
    return {grpc::StatusCode::FAILED_PRECONDITION, "protocol version 1, not 2: upgrade"};
  });
  const StatusOr<int> code = Run(fake);
  ASSERT_TRUE(code.ok());
  EXPECT_EQ(*code, 1);
}

TEST_F(ShellTest, RefusesDataOfAnotherHash) {
  const std::string text = SomeText();
  const FakeCoordinator fake(text + "x", [&](Stream& stream) -> grpc::Status {
    v1::CoordinatorMessage m;
    m.mutable_welcome()->set_heartbeat_seconds(1);
    stream.Write(m);
    m.mutable_assign()->set_job_id("j");
    *m.mutable_assign()->mutable_job() = SmallJob(text);
    stream.Write(m);
    EXPECT_EQ(Next(stream, v1::WorkerMessage::kFailure).failure().lease_id(), 0u);
    events_.Push(StopRequested{"the test is over"});
    Next(stream, v1::WorkerMessage::kGoodbye);
    return {};
  });
  const StatusOr<int> code = Run(fake);
  ASSERT_TRUE(code.ok());
  EXPECT_EQ(*code, 0);
  EXPECT_FALSE(std::filesystem::exists(cache_ + "/" + ToHex(Sha256Of(text))));
}

TEST_F(ShellTest, MissingDataFileIsAnError) {
  WorkerOptions options;
  options.cache_directory = cache_;
  options.files = {cache_ + "/no-such-file"};
  const StatusOr<int> code = RunWorker(options, events_);
  ASSERT_FALSE(code.ok());
  EXPECT_NE(code.status().message().find("no-such-file"), std::string::npos);
}

}  // namespace
}  // namespace hatchery::worker

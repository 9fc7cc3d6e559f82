// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Peers that mean harm or have gone wrong, over raw gRPC against the real coordinator: it lives, it
// answers with a status, and an honest worker's job ends with the right digest meanwhile.
#include <atomic>
#include <thread>

#include "services/common/sha256.h"
#include "tests/service/cluster.h"
#include "tests/service/raw_worker.h"

namespace hatchery::test {
namespace {

using grpc::StatusCode;

class Hostile : public Cluster {
 protected:
  std::unique_ptr<v1::ClientService::Stub> Clients() {
    return v1::ClientService::NewStub(OwnChannel(Address()));
  }
  std::unique_ptr<v1::WorkerService::Stub> Workers() {
    return v1::WorkerService::NewStub(OwnChannel(Address()));
  }
  // A worker that gets as far as a lease and then sends its result, spoilt by `change`.
  grpc::Status SendSpoilt(const std::function<void(v1::Result&)>& change) {
    RawWorker worker(Address());
    const auto lease = worker.TakeLease();
    if (!lease) return worker.End();
    v1::WorkerMessage message = worker.ResultOf(*lease);
    change(*message.mutable_result());
    worker.Say(message);
    return worker.End();
  }
  // Everyone still gets an answer, and the job its digest.
  void ExpectUnharmed(Process& coordinator, const std::string& job) {
    EXPECT_TRUE(coordinator.Running()) << coordinator.Err();
    Process honest = StartWorker("honest");
    WaitForState(job, "finished");
    EXPECT_EQ(FetchDigest(job), TrainDigest("job.yaml"));
  }
};

void ExpectStatus(const grpc::Status& status, StatusCode code, const std::string& what) {
  EXPECT_EQ(status.error_code(), code) << status.error_message();
  EXPECT_NE(status.error_message().find(what), std::string::npos) << status.error_message();
  EXPECT_LE(status.error_message().size(), 1024u);
}

// Bytes that nobody asked for are neither kept nor told of.
TEST_F(Hostile, UninvitedCheckpoints) {
  Process coordinator = StartCoordinator();
  const std::string job = Submit("job.yaml");
  const auto upload = [&](const std::string& job_id, uint32_t step) {
    grpc::ClientContext context;
    v1::UploadCheckpointResponse response;
    const auto writer = Workers()->UploadCheckpoint(&context, &response);
    v1::UploadCheckpointRequest part;
    part.set_job_id(job_id);
    part.set_step(step);
    part.set_ticket(std::string(16, 't'));
    part.set_data(std::string(1 << 20, 'x'));
    for (int i = 0; i < 8 && writer->Write(part); ++i) continue;
    writer->WritesDone();
    return writer->Finish();
  };
  for (int i = 0; i < 20; ++i)
    ExpectStatus(upload(job, 15), StatusCode::FAILED_PRECONDITION, "is not wanted");
  ExpectStatus(upload("none", 15), StatusCode::NOT_FOUND, "none");
  std::atomic<bool> stop = false;
  std::thread flood([&] {
    while (!stop)
      for (const uint32_t step : {15, 30, 45, 60}) upload(job, step);
  });
  ExpectUnharmed(coordinator, job);
  stop = true;
  flood.join();
  const Finished events = Client({"events", job, "--coordinator", Address()});
  EXPECT_EQ(events.out.find("checkpoint_failed"), std::string::npos) << events.out;
}

TEST_F(Hostile, Hellos) {
  Process coordinator = StartCoordinator();
  const auto greet = [&](const std::function<void(v1::Hello&)>& change) {
    RawWorker worker(Address());
    worker.SayHello(change);
    return worker.End();
  };
  ExpectStatus(greet([](v1::Hello& h) { h.set_protocol_version(99); }),
               StatusCode::FAILED_PRECONDITION, "protocol version is 99");
  ExpectStatus(greet([](v1::Hello& h) { h.set_contract_version(99); }),
               StatusCode::FAILED_PRECONDITION, "contract version is 99");
  {
    RawWorker worker(Address());
    v1::WorkerMessage message;
    message.mutable_result()->set_job_id("1");
    worker.Say(message);
    ExpectStatus(worker.End(), StatusCode::INVALID_ARGUMENT, "must be Hello");
  }
  {
    RawWorker worker(Address());
    worker.Say({});
    ExpectStatus(worker.End(), StatusCode::INVALID_ARGUMENT, "must be Hello");
  }
  {
    RawWorker worker(Address());
    worker.SayHello();
    worker.SayHello();
    ExpectStatus(worker.End(), StatusCode::INVALID_ARGUMENT, "second Hello");
  }
  {
    RawWorker worker(Address());
    worker.SayHello();
    v1::WorkerMessage message;
    message.mutable_known_answer()->set_digest("wrong");
    worker.Say(message);
    ExpectStatus(worker.End(), StatusCode::FAILED_PRECONDITION, "known-answer");
  }
  {  // Text of any length and any bytes is cut and cleaned where it is kept.
    RawWorker worker(Address());
    worker.SayHello([](v1::Hello& h) {
      h.set_name(std::string(1 << 20, 'x'));
      h.set_device("\x1b[2J\nevil");
    });
    ASSERT_TRUE(worker.Await(v1::CoordinatorMessage::kWelcome));
    for (const auto& w : Ask({"workers"})) {
      EXPECT_LE(w.at("name").get<std::string>().size(), 256u);
      EXPECT_EQ(w.at("device").get<std::string>().find('\n'), std::string::npos);
    }
  }
  {  // More than a message may have.
    RawWorker worker(Address());
    worker.SayHello([](v1::Hello& h) { h.set_name(std::string(65 << 20, 'x')); });
    ExpectStatus(worker.End(), StatusCode::RESOURCE_EXHAUSTED, "larger than max");
  }
  EXPECT_TRUE(coordinator.Running());
}

TEST_F(Hostile, Results) {
  Process coordinator = StartCoordinator();
  const std::string job = Submit("job.yaml");
  const auto invalid = StatusCode::INVALID_ARGUMENT;
  ExpectStatus(SendSpoilt([](v1::Result& r) { r.set_step(7); }), invalid, "step 7");
  ExpectStatus(SendSpoilt([](v1::Result& r) { r.set_step(UINT32_MAX); }), invalid, "4294967295");
  ExpectStatus(SendSpoilt([](v1::Result& r) { r.set_digest("short"); }), invalid, "16 bytes");
  ExpectStatus(SendSpoilt([](v1::Result& r) { r.clear_scores(); }), invalid, "another kind");
  ExpectStatus(SendSpoilt([](v1::Result& r) { r.mutable_held_out()->set_tokens(1); }), invalid,
               "another kind");
  ExpectStatus(SendSpoilt([](v1::Result& r) { r.mutable_scores()->set_end(UINT32_MAX); }), invalid,
               "4294967295");
  ExpectStatus(SendSpoilt([](v1::Result& r) { r.mutable_scores()->clear_trits(); }), invalid,
               "malformed");
  ExpectStatus(SendSpoilt([](v1::Result& r) {
                 r.mutable_scores()->mutable_trits()->back() = static_cast<char>(0xFF);
               }),
               invalid, "malformed");
  ExpectStatus(SendSpoilt([](v1::Result& r) { r.mutable_scores()->add_scores(1); }), invalid,
               "malformed");
  ExpectStatus(
      SendSpoilt([](v1::Result& r) { r.mutable_scores()->set_trits(std::string(8 << 20, 'x')); }),
      invalid, "malformed");
  {  // A replica that is wrong is not thrown out the first time: it must load the job anew.
    RawWorker worker(Address());
    const auto lease = worker.TakeLease();
    ASSERT_TRUE(lease);
    v1::WorkerMessage message = worker.ResultOf(*lease);
    message.mutable_result()->set_digest(std::string(16, 'x'));
    worker.Say(message);
    const auto assign = worker.Await(v1::CoordinatorMessage::kAssign);
    ASSERT_TRUE(assign);
    EXPECT_TRUE(assign->assign().reload());
  }
  ExpectUnharmed(coordinator, job);
}

TEST_F(Hostile, NamesAndPaths) {
  Process coordinator = StartCoordinator();
  const std::string job = Submit("job.yaml");
  const std::vector<std::string> names = {"../../etc",
                                          "..",
                                          "/etc/passwd",
                                          "",
                                          "1/../1",
                                          "01",
                                          std::string("1\0", 2),
                                          "-1",
                                          std::string(1 << 20, 'x')};
  const auto clients = Clients();
  const auto workers = Workers();
  for (const std::string& name : names) {
    v1::FetchCheckpointRequest checkpoint;
    checkpoint.set_job_id(name);
    v1::CheckpointChunk chunk;
    grpc::ClientContext c1, c2, c3, c4, c5;
    const auto r1 = clients->FetchCheckpoint(&c1, checkpoint);
    while (r1->Read(&chunk)) ADD_FAILURE();
    ExpectStatus(r1->Finish(), StatusCode::NOT_FOUND, "no job");
    v1::FetchJournalRequest journal;
    journal.set_job_id(name);
    v1::Chunk piece;
    const auto r2 = clients->FetchJournal(&c2, journal);
    while (r2->Read(&piece)) ADD_FAILURE();
    ExpectStatus(r2->Finish(), StatusCode::NOT_FOUND, "no job");
    v1::FetchCommitsRequest commits;
    commits.set_job_id(name);
    v1::Commit commit;
    const auto r3 = workers->FetchCommits(&c3, commits);
    while (r3->Read(&commit)) ADD_FAILURE();
    ExpectStatus(r3->Finish(), StatusCode::NOT_FOUND, "no job");
    v1::FetchFileRequest file;
    file.set_sha256(name);
    const auto r4 = workers->FetchFile(&c4, file);
    while (r4->Read(&piece)) ADD_FAILURE();
    ExpectStatus(r4->Finish(), StatusCode::INVALID_ARGUMENT, "64 lower-case hex");
    v1::ChangeJobRequest change;
    change.set_job_id(name);
    v1::JobState state;
    ExpectStatus(clients->CancelJob(&c5, change, &state), StatusCode::NOT_FOUND, "job");
  }
  ExpectUnharmed(coordinator, job);
}

TEST_F(Hostile, Uploads) {
  Process coordinator = StartCoordinator(
      {}, {"--max-upload-bytes", "100000", "--max-transfers", "4", "--stalled-seconds", "3"});
  const std::string job = Submit("job.yaml");
  const auto clients = Clients();
  const auto upload = [&](const std::string& sha256, uint64_t announced, const std::string& data) {
    grpc::ClientContext context;
    v1::UploadFileResponse response;
    const auto writer = clients->UploadFile(&context, &response);
    v1::UploadFileRequest request;
    request.set_sha256(sha256);
    request.set_bytes(announced);
    request.set_data(data);
    writer->Write(request);
    writer->WritesDone();
    return writer->Finish();
  };
  const std::string sha256 = ToHex(Sha256Of("text"));
  ExpectStatus(upload("../../../tmp/x", 4, "text"), StatusCode::INVALID_ARGUMENT, "64 lower-case");
  ExpectStatus(upload(sha256, 1 << 30, "text"), StatusCode::INVALID_ARGUMENT, "--max-upload-bytes");
  ExpectStatus(upload(sha256, 3, "text"), StatusCode::INVALID_ARGUMENT, "more bytes than");
  EXPECT_FALSE(upload(sha256, 4, "tex!").ok());
  EXPECT_TRUE(upload(sha256, 4, "text").ok());

  // Uploads that are never finished take their places for three seconds, no longer: two of the
  // four, since no machine gets more than half.
  struct Unfinished {
    grpc::ClientContext context;
    v1::UploadFileResponse response;
    std::unique_ptr<grpc::ClientWriter<v1::UploadFileRequest>> writer;
  };
  std::vector<std::unique_ptr<Unfinished>> unfinished;
  for (int i = 0; i < 2; ++i) {
    auto& one = *unfinished.emplace_back(std::make_unique<Unfinished>());
    one.writer = clients->UploadFile(&one.context, &one.response);
    v1::UploadFileRequest request;
    request.set_sha256(sha256);
    request.set_bytes(1000);
    request.set_data("x");
    one.writer->Write(request);
  }
  Await("all places to be taken", [&] {
    const grpc::Status full = upload(sha256, 4, "text");
    if (full.ok()) return false;
    ExpectStatus(full, StatusCode::RESOURCE_EXHAUSTED, "2 transfers to and from clients of one");
    return true;
  });
  Await("the places to be free again", [&] { return upload(sha256, 4, "text").ok(); });
  for (auto& one : unfinished) ExpectStatus(one->writer->Finish(), StatusCode::CANCELLED, "");
  ExpectUnharmed(coordinator, job);
}

TEST_F(Hostile, UploadsLeaveRoomForTheJournals) {
  Process coordinator = StartCoordinator({}, {"--keep-free-bytes", "4000000000000000000"});
  const Finished refused = Client({"submit", Path("job.yaml"), "--coordinator", Address()});
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("--keep-free-bytes"), std::string::npos) << refused.err;
}

TEST_F(Hostile, JobsThatAreTooLarge) {
  Process coordinator = StartCoordinator({}, {"--max-unfinished-jobs", "2"});
  const std::string job = Submit("job.yaml");
  v1::ListJobsResponse jobs;
  const auto clients = Clients();
  {
    grpc::ClientContext context;
    ASSERT_TRUE(clients->ListJobs(&context, {}, &jobs).ok());
  }
  const auto submit = [&](const std::function<void(v1::Job&)>& change) {
    grpc::ClientContext context;
    v1::SubmitJobRequest request;
    *request.mutable_job() = jobs.jobs(0).job();
    change(*request.mutable_job());
    v1::SubmitJobResponse response;
    return clients->SubmitJob(&context, request, &response);
  };
  const auto invalid = StatusCode::INVALID_ARGUMENT;
  ExpectStatus(submit([](v1::Job& j) {
                 j.mutable_model()->set_hidden(8192);
                 j.mutable_model()->set_layers(1024);
               }),
               invalid, "--max-weight-bytes");
  ExpectStatus(submit([](v1::Job& j) {
                 j.set_population(16777216);
                 j.set_steps(2147483647);
               }),
               invalid, "--max-journal-bytes");
  ExpectStatus(submit([](v1::Job& j) { j.set_population(UINT32_MAX); }), invalid, "population");
  ExpectStatus(submit([](v1::Job& j) { j.set_window(UINT32_MAX); }), invalid, "window");
  ExpectStatus(submit([](v1::Job& j) { j.mutable_train()->set_end(UINT64_MAX); }), invalid, "");
  ExpectStatus(submit([](v1::Job& j) { j.mutable_train()->set_sha256("../../etc/passwd"); }),
               invalid, "64 lower-case hex");
  ExpectStatus(submit([](v1::Job& j) { j.set_name(std::string(1 << 20, 'x')); }), invalid, "name");
  ASSERT_TRUE(submit([](v1::Job& j) { j.set_priority(-1); }).ok());
  ExpectStatus(submit([](v1::Job&) {}), StatusCode::RESOURCE_EXHAUSTED, "--max-unfinished-jobs");
  ExpectUnharmed(coordinator, job);
}

TEST_F(Hostile, StreamsOpenedAndAbandoned) {
  constexpr int kStreams = 2000, kConnections = 20;
  Process coordinator = StartCoordinator({}, {"--max-workers", "1500", "--max-watchers", "8"});
  const std::string job = Submit("job.yaml");
  struct Abandoned {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerMessage, v1::CoordinatorMessage>> stream;
  };
  std::vector<std::unique_ptr<v1::WorkerService::Stub>> stubs;
  for (int i = 0; i < kConnections; ++i) stubs.push_back(Workers());
  std::vector<std::unique_ptr<Abandoned>> abandoned;
  for (int i = 0; i < kStreams; ++i) {
    auto& one = *abandoned.emplace_back(std::make_unique<Abandoned>());
    one.stream = stubs[i % kConnections]->Session(&one.context);
  }
  // Those beyond the limit are told so.
  Await("a stream to be refused", [&] {
    RawWorker late(Address());
    late.SayHello();
    return late.Await(v1::CoordinatorMessage::kWelcome) == std::nullopt &&
           late.End().error_code() == StatusCode::RESOURCE_EXHAUSTED;
  });
  // Watchers take a thread each, so there are few.
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::JobUpdate>>> watchers;
  const auto clients = Clients();
  v1::WatchJobRequest watch;
  watch.set_job_id(job);
  v1::JobUpdate update;
  for (int i = 0; i < 8; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    watchers.push_back(clients->WatchJob(contexts.back().get(), watch));
    ASSERT_TRUE(watchers.back()->Read(&update));  // and never again
  }
  grpc::ClientContext context;
  const auto ninth = clients->WatchJob(&context, watch);
  EXPECT_FALSE(ninth->Read(&update));
  ExpectStatus(ninth->Finish(), StatusCode::RESOURCE_EXHAUSTED, "--max-watchers");
  // Streams that say nothing are closed after 30 seconds; here their owner goes before.
  for (auto& one : abandoned) one->context.TryCancel();
  abandoned.clear();
  ExpectUnharmed(coordinator, job);
  for (auto& one : contexts) one->TryCancel();
}

}  // namespace
}  // namespace hatchery::test

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The client's online commands, as a user runs them, against a scripted coordinator.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "kernels/core/version.h"
#include "services/common/disk.h"
#include "services/common/protocol.h"
#include "services/common/run_events.h"
#include "services/common/sha256.h"

namespace hatchery {
namespace {

using grpc::ServerContext;
using grpc::Status;

class FakeCoordinator final : public v1::ClientService::Service {
 public:
  FakeCoordinator() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  Status About(ServerContext*, const v1::AboutRequest*, v1::AboutResponse* response) override {
    *response = about;
    if (clock_runs) response->set_unix_milliseconds(UnixMilliseconds());
    return {};
  }
  Status MissingFiles(ServerContext*, const v1::MissingFilesRequest* request,
                      v1::MissingFilesResponse* response) override {
    response->mutable_sha256()->CopyFrom(request->sha256());
    return {};
  }
  Status UploadFile(ServerContext*, grpc::ServerReader<v1::UploadFileRequest>* reader,
                    v1::UploadFileResponse*) override {
    v1::UploadFileRequest request;
    uploaded.clear();
    for (bool first = true; reader->Read(&request); first = false) {
      EXPECT_EQ(request.sha256().empty(), !first);
      EXPECT_LE(request.data().size(), size_t{1} << 20);
      uploaded += request.data();
    }
    return {};
  }
  Status SubmitJob(ServerContext*, const v1::SubmitJobRequest* request,
                   v1::SubmitJobResponse* response) override {
    job.set_job_id("j1");
    *job.mutable_job() = request->job();
    response->set_job_id("j1");
    return {};
  }
  Status ListJobs(ServerContext*, const v1::ListJobsRequest*,
                  v1::ListJobsResponse* response) override {
    *response->add_jobs() = job;
    return {};
  }
  Status GetJob(ServerContext*, const v1::GetJobRequest* request, v1::JobState* state) override {
    if (request->job_id() != "j1") {
      return {grpc::StatusCode::NOT_FOUND, "no job " + request->job_id()};
    }
    *state = job;
    return {};
  }
  Status PauseJob(ServerContext*, const v1::ChangeJobRequest*, v1::JobState* state) override {
    job.set_state(v1::JobState::PAUSED);
    *state = job;
    return {};
  }
  // Two steps, then the stream breaks; two more, and the job is over.
  Status WatchJob(ServerContext* context, const v1::WatchJobRequest* request,
                  grpc::ServerWriter<v1::JobUpdate>* writer) override {
    while (hold && !context->IsCancelled()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    const bool first = watches++ == 0;
    v1::JobUpdate update;
    update.set_steps(4);
    update.set_state(v1::JobState::RUNNING);
    const uint32_t end = first ? 2 : 4;
    if (!first) {  // as a coordinator does: the newest one again
      update.set_step(request->from_step());
      writer->Write(update);
    }
    for (uint32_t step = request->from_step() + 1; step <= end; ++step) {
      update.set_step(step);
      update.set_train_bits_per_byte(8.0 - step);
      writer->Write(update);
    }
    if (first) return {grpc::StatusCode::UNAVAILABLE, "restarting"};
    job.set_state(v1::JobState::FINISHED);
    update.set_state(v1::JobState::FINISHED);
    writer->Write(update);
    writer->Write(update);
    return {};
  }
  Status FetchJournal(ServerContext*, const v1::FetchJournalRequest*,
                      grpc::ServerWriter<v1::Chunk>* writer) override {
    v1::Chunk chunk;
    chunk.set_data(journal.substr(0, 3));
    writer->Write(chunk);
    chunk.set_data(journal.substr(3));
    writer->Write(chunk);
    return {};
  }
  Status FetchInitial(ServerContext*, const v1::FetchInitialRequest*,
                      grpc::ServerWriter<v1::Chunk>* writer) override {
    v1::Chunk chunk;
    chunk.set_data(initial);
    writer->Write(chunk);
    return {};
  }
  Status FetchCheckpoint(ServerContext*, const v1::FetchCheckpointRequest*,
                         grpc::ServerWriter<v1::CheckpointChunk>*) override {
    return {grpc::StatusCode::NOT_FOUND, "none yet"};
  }

  v1::AboutResponse about;
  bool clock_runs = false;  // or About tells the time that `about` holds
  v1::JobState job;
  std::string uploaded;
  std::string journal = "journal", initial = "weights";
  std::atomic<int> watches = 0;
  std::atomic<bool> hold = false;  // watches wait until they are cancelled

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

struct Finished {
  int code;
  std::string out;  // stdout and stderr
};

class OnlineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/hatchery-online-test-" + std::to_string(getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Finished Run(const std::string& arguments) { return RunAt(fake_.address(), arguments); }
  static Finished RunAt(const std::string& address, const std::string& arguments,
                        const std::string& prefix = "") {
    const std::string command =
        prefix + HATCHERY_BIN "/hatchery " + arguments + " --coordinator " + address + " 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    Finished finished{};
    char buffer[4096];
    for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
      finished.out.append(buffer, n);
    }
    finished.code = WEXITSTATUS(pclose(pipe));
    return finished;
  }
  static std::vector<std::string> Lines(const std::string& text) {
    std::istringstream in(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  void Submit() {
    text_ = std::string(3'000'000, 'a');
    std::ofstream(directory_ + "/text") << text_;
    std::ofstream(directory_ + "/job.yaml") << "name: small\npopulation: 20\nsteps: 4\n"
                                            << "data:\n  file: text\n";
    const Finished finished =
        Run("submit " + directory_ + "/job.yaml --data " + directory_ + "/text --set priority=3");
    ASSERT_EQ(finished.code, 0) << finished.out;
    EXPECT_EQ(finished.out, "j1\n");
  }

  FakeCoordinator fake_;
  std::string directory_, text_;
};

TEST_F(OnlineTest, SubmitUploadsTheDataInPieces) {
  Submit();
  EXPECT_EQ(fake_.uploaded, text_);
  EXPECT_EQ(fake_.job.job().train().sha256(), ToHex(Sha256Of(text_)));
  EXPECT_EQ(fake_.job.job().priority(), 3);
}

TEST_F(OnlineTest, WatchSurvivesABrokenStream) {
  Submit();
  const Finished finished = Run("watch j1 --json --from 0");
  EXPECT_EQ(finished.code, 0) << finished.out;
  std::vector<int> steps;
  for (const std::string& line : Lines(finished.out)) {
    if (line.starts_with("{")) steps.push_back(nlohmann::json::parse(line)["step"]);
  }
  EXPECT_EQ(steps, (std::vector<int>{1, 2, 3, 4, 4}));  // the last one finished
  EXPECT_NE(finished.out.find("\"validation_bits_per_byte\":null"), std::string::npos);
}

TEST_F(OnlineTest, WatchTellsWhatIsMeasured) {
  Submit();
  const std::vector<std::string> lines = Lines(Run("watch j1 --from 0").out);
  ASSERT_GE(lines.size(), 4u);
  EXPECT_EQ(lines[0], "step 1/4  train 7.000 bits/byte  0 workers");  // no speed, nothing held out
}

TEST_F(OnlineTest, InterruptedWatchLeavesTheJob) {
  Submit();
  fake_.hold = true;
  const Finished finished =
      RunAt(fake_.address(), "watch j1", "timeout --preserve-status -s INT 0.5 ");
  EXPECT_EQ(finished.code, 0);
  EXPECT_NE(finished.out.find("the job goes on"), std::string::npos) << finished.out;
}

TEST_F(OnlineTest, ListsAndChangesJobs) {
  Submit();
  const Finished paused = Run("pause j1 --json");
  EXPECT_EQ(nlohmann::json::parse(paused.out)["state"], "paused");
  const Finished jobs = Run("jobs --json");
  const auto row = nlohmann::json::parse(jobs.out);
  EXPECT_EQ(row["job_id"], "j1");
  EXPECT_EQ(row["steps"], 4);
  EXPECT_EQ(row["job"]["population"], 20);
  EXPECT_EQ(Lines(Run("jobs").out).size(), 2u);
}

TEST_F(OnlineTest, FetchBringsTheInitialWeights) {
  Submit();
  fake_.job.mutable_job()->set_initial_sha256(ToHex(Sha256Of("weights")));
  const std::string out = directory_ + "/run";
  EXPECT_EQ(Run("fetch j1 --out " + out).code, 0);
  std::ifstream file(out + "/initial.safetensors");
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "weights");
  fake_.initial = "rotten";
  const Finished refused = Run("fetch j1 --out " + directory_ + "/other");
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.out.find("SHA-256"), std::string::npos) << refused.out;
}

TEST_F(OnlineTest, FetchLeavesADirectoryInUseAlone) {
  Submit();
  const std::string out = directory_ + "/run";
  ASSERT_EQ(Run("fetch j1 --out " + out).code, 0);
  fake_.journal = "journal that has grown";
  {
    const auto lock = PosixDisk().Lock(out, "trainer");
    ASSERT_TRUE(lock.ok());
    const Finished refused = Run("fetch j1 --out " + out);
    EXPECT_EQ(refused.code, 1);
    EXPECT_NE(refused.out.find("uses " + out), std::string::npos) << refused.out;
  }
  ASSERT_EQ(Run("fetch j1 --out " + out).code, 0);
  fake_.journal = "journal";
  const Finished behind = Run("fetch j1 --out " + out);
  EXPECT_EQ(behind.code, 1);
  EXPECT_NE(behind.out.find("further along"), std::string::npos) << behind.out;
}

TEST_F(OnlineTest, FetchKeepsAnotherRunsJournal) {
  Submit();
  const std::string out = directory_ + "/run";
  EXPECT_EQ(Run("fetch j1 --out " + out).code, 0);
  fake_.journal = "journal that has grown";
  EXPECT_EQ(Run("fetch j1 --out " + out).code, 0);
  fake_.journal = "another";
  const Finished refused = Run("fetch j1 --out " + out);
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(Lines(refused.out).size(), 1u);
  std::ifstream kept(out + "/journal.hatchery");
  std::string line;
  std::getline(kept, line);
  EXPECT_EQ(line, "journal that has grown");
}

TEST_F(OnlineTest, TheDoctorLooksAtTheCoordinator) {
  const auto verdict_on = [&](const std::string& what) -> std::string {
    for (const std::string& line : Lines(Run("doctor --json --dir " + directory_).out))
      if (line.starts_with("{"))
        if (const auto check = nlohmann::json::parse(line);
            check["what"].get<std::string>().starts_with(what))
          return check["verdict"];
    return "";
  };
  fake_.about.set_software_version(HATCHERY_VERSION);
  fake_.about.set_protocol_version(kProtocolVersion);
  fake_.about.set_contract_version(core::kContractVersion);
  EXPECT_EQ(verdict_on("coordinator "), "ok");
  fake_.clock_runs = true;
  EXPECT_EQ(verdict_on("clocks"), "ok");
  fake_.clock_runs = false;
  fake_.about.set_unix_milliseconds(1000 * (std::time(nullptr) - 3600));
  EXPECT_EQ(verdict_on("clocks"), "warn");
  fake_.about.set_software_version("0.0.9");
  EXPECT_EQ(verdict_on("coordinator "), "warn");
  fake_.about.set_protocol_version(kProtocolVersion + 1);
  EXPECT_EQ(verdict_on("coordinator "), "bad");
  EXPECT_EQ(Run("doctor --dir " + directory_).code, 1);
  const Finished nowhere = Run("doctor --dir " + directory_ + "/nowhere");
  EXPECT_NE(nowhere.out.find("there is no such directory"), std::string::npos);
}

// Takes connections, by the kernel, and never says a word.
class SilentListener {
 public:
  SilentListener() {
    socket_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&where), size), 0);
    EXPECT_EQ(listen(socket_, 64), 0);
    EXPECT_EQ(getsockname(socket_, reinterpret_cast<sockaddr*>(&where), &size), 0);
    port_ = ntohs(where.sin_port);
  }
  ~SilentListener() { close(socket_); }
  SilentListener(const SilentListener&) = delete;
  SilentListener& operator=(const SilentListener&) = delete;
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_, port_ = 0;
};

TEST_F(OnlineTest, NoCommandWaitsForeverForACoordinatorThatNeverAnswers) {
  Submit();  // for its files
  const SilentListener silent;
  std::vector<std::jthread> users;
  for (const std::string arguments :
       {"jobs", "workers", "events j1", "cancel j1", "health", "watch j1", "top",
        "fetch j1 --out DIR/run", "submit DIR/job.yaml --data DIR/text"}) {
    users.emplace_back([this, &silent, arguments] {
      std::string command = arguments;
      for (size_t at; (at = command.find("DIR")) != std::string::npos;)
        command.replace(at, 3, directory_);
      const auto begin = std::chrono::steady_clock::now();
      const Finished finished = RunAt(silent.address(), command, "timeout 60 ");
      EXPECT_EQ(finished.code, 1) << arguments;
      EXPECT_EQ(Lines(finished.out).size(), 1u) << arguments << ": " << finished.out;
      EXPECT_NE(finished.out.find("no coordinator answers at " + silent.address()),
                std::string::npos)
          << arguments << ": " << finished.out;
      EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(40)) << arguments;
    });
  }
}

TEST_F(OnlineTest, ErrorsAreOneLine) {
  const Finished unknown = Run("watch j9");
  EXPECT_EQ(unknown.code, 1);
  EXPECT_EQ(unknown.out, "hatchery: no job j9\n");
  const Finished nobody = RunAt("127.0.0.1:1", "jobs");
  EXPECT_EQ(nobody.code, 1);
  EXPECT_EQ(Lines(nobody.out).size(), 1u);
  EXPECT_NE(nobody.out.find("127.0.0.1:1"), std::string::npos);
}

}  // namespace
}  // namespace hatchery

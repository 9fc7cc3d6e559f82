// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What a coordinator has stored, damaged and repaired, or copied while it runs: it goes on from
// there to the same bytes.
#include <grpcpp/grpcpp.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>

#include "hatchery/v1/coordinator.grpc.pb.h"
#include "services/common/checkpoint.h"
#include "services/common/job.h"
#include "services/common/journal.h"
#include "services/common/journal_scan.h"
#include "tests/service/cluster.h"

namespace hatchery::test {
namespace {

namespace fs = std::filesystem;

class Durability : public Cluster {
 protected:
  void SetUp() override {
    Cluster::SetUp();
    WriteFile("short.yaml",
              "name: short\n"
              "model: {hidden: 16, layers: 1}\n"
              "data: {file: data.bin}\n"
              "population: 300\n"
              "window: 16\n"
              "steps: 30\n"
              "held_out_streams: 16\n"
              "checkpoint_every: 10\n");
  }

  void Stop(Process& process) {
    process.Signal(SIGTERM);
    EXPECT_EQ(process.Wait(std::chrono::seconds(20)), 0) << process.Err();
  }

  // Runs short.yaml to its end; the data directory is then DIR/good.
  void MakeFinishedData() {
    Process coordinator = StartCoordinator();
    Process worker = StartWorker("w1");
    ASSERT_EQ(Submit("short.yaml"), "1");
    WaitForState("1", "finished");
    Stop(worker);
    Stop(coordinator);
    fs::rename(Path("data"), Path("good"));
  }

  void Damage(const std::string& path, const std::function<void(std::string&)>& change) {
    std::ifstream in(path, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    in.close();
    change(bytes);
    std::ofstream(path, std::ios::binary) << bytes;
  }

  // A coordinator goes on from DIR/data to the digest of one process.
  void ExpectSameEnd(const std::string& digest) {
    {
      Process coordinator = StartCoordinator();
      Process worker = StartWorker("w1");
      if (Job("1").at("state") == "paused") {
        EXPECT_EQ(Client({"resume", "1", "--coordinator", Address()}).code, 0);
      }
      WaitForState("1", "finished");
      EXPECT_EQ(FetchDigest("1"), digest);
      Stop(worker);
      Stop(coordinator);
    }
    const Finished fsck = Client({"fsck", Path("data"), "--deep"});
    EXPECT_EQ(fsck.code, 0) << fsck.out << fsck.err;
  }
};

TEST_F(Durability, DamagedDataDirectoriesAreRepaired) {
  MakeFinishedData();
  const std::string digest = TrainDigest("short.yaml");
  const std::string journal = "data/jobs/1/journal.hatchery";
  const auto size = fs::file_size(Path("good/jobs/1/journal.hatchery"));
  const auto flip = [](size_t at) {
    return [at](std::string& bytes) { bytes.at(at) = static_cast<char>(bytes.at(at) ^ 8); };
  };
  const auto cut = [](size_t at) { return [at](std::string& bytes) { bytes.resize(at); }; };
  const uint64_t closing = 16 + 24 + 32 + 32;  // bytes of that record: head, payload, sums, chain
  struct Case {
    std::string what, path;
    std::function<void(std::string&)> change;
  };
  const std::vector<Case> cases = {
      {"journal's preamble", journal, flip(9)},
      {"journal's header", journal, flip(200)},
      {"a commit", journal, flip(size / 2)},
      {"closing record", journal, flip(size - 40)},
      {"cut within the header", journal, cut(100)},
      {"cut within a commit", journal, cut(size * 2 / 3)},
      {"cut before the closing record", journal, cut(size - closing)},
      {"catalogue", "data/catalogue.sqlite",
       [](std::string& bytes) { bytes.replace(0, 100, 100, 'x'); }},
      {"final checkpoint", "data/jobs/1/checkpoints/step-0000000030.safetensors", flip(5000)},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.what);
    fs::remove_all(Path("data"));
    fs::copy(Path("good"), Path("data"), fs::copy_options::recursive);
    Damage(Path(each.path), each.change);
    const Finished found = Client({"fsck", Path("data")});
    // Without its closing record a journal is an unfinished one, which is no damage.
    EXPECT_EQ(found.code, each.what == "cut before the closing record" ? 0 : 1) << found.out;
    const Finished repaired = Client({"fsck", Path("data"), "--repair", "--json"});
    EXPECT_EQ(repaired.code, 0) << repaired.out << repaired.err;
    ExpectSameEnd(digest);
    if (HasFailure()) return;
  }
}

TEST_F(Durability, AJournalOfAnUnfinishedJobThatIsGone) {
  {
    Process coordinator = StartCoordinator();
    Process worker = StartWorker("w1");
    ASSERT_EQ(Submit("job.yaml"), "1");
    WaitForStep("1", 5);
    Ask({"pause", "1"});
    ASSERT_EQ(Job("1").at("state"), "paused");
    Stop(worker);
    Stop(coordinator);
  }
  fs::remove_all(Path("data/jobs/1"));
  EXPECT_EQ(Client({"fsck", Path("data")}).code, 1);
  EXPECT_EQ(Client({"fsck", Path("data"), "--repair"}).code, 0);
  ExpectSameEnd(TrainDigest("job.yaml"));
}

// Whoever makes room removes checkpoints too: this one was lost.
TEST_F(Durability, AJournalOfAFinishedJobThatIsGone) {
  MakeFinishedData();
  fs::rename(Path("good"), Path("data"));
  fs::remove(Path("data/jobs/1/journal.hatchery"));
  EXPECT_EQ(Client({"fsck", Path("data")}).code, 1);
  EXPECT_EQ(Client({"fsck", Path("data"), "--repair"}).code, 0);
  ExpectSameEnd(TrainDigest("short.yaml"));
}

// A file that is intact, and of other weights than the journal says, is passed over.
TEST_F(Durability, ACheckpointThatContradictsTheJournalIsNotGivenOut) {
  MakeFinishedData();
  fs::rename(Path("good"), Path("data"));
  Process coordinator = StartCoordinator();
  const auto fetch = [&] {
    grpc::ClientContext context;
    v1::FetchCheckpointRequest request;
    request.set_job_id("1");
    request.set_step(UINT32_MAX);
    const auto stub = v1::ClientService::NewStub(
        grpc::CreateChannel(Address(), grpc::InsecureChannelCredentials()));
    const auto reader = stub->FetchCheckpoint(&context, request);
    v1::CheckpointChunk chunk;
    std::string bytes;
    while (reader->Read(&chunk)) bytes += chunk.data();
    EXPECT_TRUE(reader->Finish().ok());
    return DecodeCheckpoint(bytes, "fetched");
  };
  const auto last = fetch();
  ASSERT_TRUE(last.ok()) << last.status().message();
  EXPECT_EQ(last->step, 30u);
  std::vector<int8_t> other = last->weights;
  other[0] = static_cast<int8_t>(other[0] ^ 1);
  WriteFile("data/jobs/1/checkpoints/step-0000000030.safetensors",
            EncodeCheckpoint(last->job, 30, other));
  const auto now = fetch();
  ASSERT_TRUE(now.ok()) << now.status().message();
  EXPECT_EQ(now->step, 20u);
}

// It is no damage; it is listed with what became of it, also from a backup, and its number is not
// given to another.
TEST_F(Durability, AJobWhoseFilesWereRemovedIsNotForgotten) {
  MakeFinishedData();
  fs::remove_all(Path("good/jobs/1"));
  EXPECT_EQ(Client({"fsck", Path("good")}).code, 0);
  EXPECT_EQ(Client({"fsck", Path("good"), "--repair"}).code, 0);
  const Finished backup = Client({"backup", Path("good"), "--out", Path("data")});
  ASSERT_EQ(backup.code, 0) << backup.err;
  Process coordinator = StartCoordinator();
  EXPECT_EQ(Job("1").at("state"), "finished");
  EXPECT_NE(Job("1").at("reason").get<std::string>().find("its files are gone"), std::string::npos);
  EXPECT_EQ(Submit("short.yaml"), "2");
  const Finished fetched =
      Client({"fetch", "1", "--out", Path("nothing"), "--coordinator", Address()});
  EXPECT_EQ(fetched.code, 1);
  EXPECT_NE(fetched.err.find("journal.hatchery"), std::string::npos) << fetched.err;
}

// What is written may still be lost; what a client was given may not.
TEST_F(Durability, OnlyWhatWasAnnouncedIsFetched) {
  Process coordinator = StartCoordinator();
  std::optional<Process> worker = StartWorker("w1");
  const std::string id = Submit("job.yaml");
  WaitForStep(id, 5);
  Ask({"pause", id});
  worker.reset();
  const auto announced = Job(id).at("step").get<uint32_t>();
  const std::string path = Path("data/jobs/" + id + "/journal.hatchery");
  const auto before = fs::file_size(path);
  {
    auto writer = JournalWriter::OpenForAppend(PosixDisk(), path, JournalWriter::TornTail::kRefuse);
    ASSERT_TRUE(writer.ok()) << writer.status().message();
    ASSERT_EQ((*writer)->next_step(), announced);
    CommitRecord record;
    record.commit.step = announced;
    record.commit.fitness.assign((SpecFromJob((*writer)->header().job)->pairs() + 4) / 5, 121);
    ASSERT_TRUE((*writer)->Append(record).ok());
  }
  ASSERT_GT(fs::file_size(path), before);
  grpc::ClientContext context;
  v1::FetchJournalRequest request;
  request.set_job_id(id);
  const auto reader =
      v1::ClientService::NewStub(grpc::CreateChannel(Address(), grpc::InsecureChannelCredentials()))
          ->FetchJournal(&context, request);
  std::string bytes;
  for (v1::Chunk chunk; reader->Read(&chunk);) bytes += chunk.data();
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_LE(bytes.size(), before);
  WriteFile("fetched", bytes);
  const auto journal = ScanJournal(PosixDisk(), Path("fetched"));
  ASSERT_TRUE(journal.ok()) << journal.status().message();
  EXPECT_EQ(journal->commits(), announced);
  EXPECT_EQ(journal->torn_bytes, 0u);
}

TEST_F(Durability, ADataFileThatIsGone) {
  MakeFinishedData();
  fs::rename(Path("good"), Path("data"));
  const std::string journal = Path("data/jobs/1/journal.hatchery");
  fs::resize_file(journal, fs::file_size(journal) / 2);
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(Path("data/files"))) files.push_back(file.path());
  for (const fs::path& file : files) fs::remove(file);
  const Finished repaired = Client({"fsck", Path("data"), "--repair"});
  EXPECT_EQ(repaired.code, 1) << repaired.out;  // nobody but the user has the file
  EXPECT_NE(repaired.out.find("job 1 cannot go on without it"), std::string::npos) << repaired.out;
}

TEST_F(Durability, BackupOfARunningCoordinator) {
  std::string id;
  {
    Process coordinator = StartCoordinator();
    Process worker = StartWorker("w1");
    id = Submit("job.yaml");
    WaitForStep(id, 18);
    const Finished backup = Client({"backup", Path("data"), "--out", Path("copy"), "--json"});
    ASSERT_EQ(backup.code, 0) << backup.err;
    EXPECT_NE(backup.out.find("\"verified\":true"), std::string::npos) << backup.out;
    EXPECT_EQ(Client({"backup", Path("data"), "--out", Path("copy")}).code, 1);
    const Finished running = Client({"fsck", Path("data")});
    EXPECT_EQ(running.code, 0) << running.out;
    EXPECT_NE(running.out.find("a program writes there now"), std::string::npos) << running.out;
    const Finished refused = Client({"fsck", Path("data/jobs/" + id), "--repair"});
    EXPECT_EQ(refused.code, 1);
    EXPECT_NE(refused.err.find("nothing was repaired"), std::string::npos) << refused.err;
    ASSERT_LT(Job(id).at("step").get<int>(), kSteps);
  }
  fs::rename(Path("data"), Path("lost"));
  fs::rename(Path("copy"), Path("data"));
  const Finished fsck = Client({"fsck", Path("data"), "--deep"});
  EXPECT_EQ(fsck.code, 0) << fsck.out;
  Process coordinator = StartCoordinator();
  EXPECT_GE(Job(id).at("step").get<int>(), 18);
  Process worker = StartWorker("w2");
  WaitForState(id, "finished");
  EXPECT_EQ(FetchDigest(id), TrainDigest("job.yaml"));
}

}  // namespace
}  // namespace hatchery::test

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Workers that are broken or lie: the run ends with the honest bytes, and its events tell the
// story.
#include <algorithm>
#include <fstream>

#include "services/common/journal.h"
#include "services/common/run_dir.h"
#include "tests/service/cluster.h"

namespace hatchery::test {
namespace {

class Honesty : public Cluster {
 protected:
  // Position of the first event of this kind about this worker ("" for any); -1 if there is none.
  static int Find(const std::vector<nlohmann::json>& events, const std::string& kind,
                  const std::string& worker) {
    for (size_t i = 0; i < events.size(); ++i)
      if (events[i].at("kind") == kind && (worker.empty() || events[i].at("worker_id") == worker))
        return static_cast<int>(i);
    return -1;
  }
  std::map<std::string, std::string> IdsByName() {
    std::map<std::string, std::string> ids;
    for (const auto& worker : Ask({"workers"})) ids[worker.at("name")] = worker.at("worker_id");
    return ids;
  }
};

TEST_F(Honesty, ABitFlipsAndALiarLiesAndTheRunEndsRight) {
  Process coordinator = StartCoordinator({}, {"--audit", "1"});
  Process honest = StartWorker("honest");
  Process flips = StartWorker("flips", {"--chaos", "flip@20"});
  Process lies = StartWorker("lies", {"--chaos", "lie@30"});
  Await("three workers", [&] { return Ask({"workers"}).size() == 3; });
  const std::string id = Submit("job.yaml");
  WaitForState(id, "finished");
  EXPECT_EQ(FetchDigest(id), TrainDigest("job.yaml"));

  const auto events = Ask({"events", id});
  const auto ids = IdsByName();
  const int flipped = Find(events, "quarantined", ids.at("flips"));
  const int disputed = Find(events, "shard_disputed", "");
  const int caught = Find(events, "quarantined", ids.at("lies"));
  const int expelled = Find(events, "expelled", ids.at("lies"));
  const int finished = Find(events, "finished", "");
  ASSERT_GE(flipped, 0);
  EXPECT_LT(flipped, disputed) << "step 20 comes before step 30";
  EXPECT_LT(disputed, caught);
  EXPECT_LT(caught, expelled);
  EXPECT_LT(expelled, finished);
  EXPECT_EQ(Find(events, "quarantined", ids.at("honest")), -1);
  EXPECT_EQ(lies.Wait(std::chrono::seconds(20)), 1) << "sent away";
  EXPECT_GT(Job(id).at("shards_audited").get<int>(), 0);

  // It is remembered: a new coordinator on the same data does not take it either.
  coordinator.Kill();
  Process successor = StartCoordinator();
  Process again = StartWorker("lies");
  EXPECT_EQ(again.Wait(std::chrono::seconds(20)), 1);
  EXPECT_NE(again.Err().find("was sent away for wrong answers"), std::string::npos) << again.Err();
}

TEST_F(Honesty, StallsAndGarbageDoNotStopARun) {
  Process coordinator = StartCoordinator();
  Process honest = StartWorker("honest");
  Process stalls = StartWorker("stalls", {"--chaos", "stall@5"});
  Process babbles = StartWorker("babbles", {"--chaos", "garbage@2"});
  Await("three workers", [&] { return Ask({"workers"}).size() == 3; });
  const std::string id = Submit("job.yaml");
  WaitForState(id, "finished");
  EXPECT_EQ(FetchDigest(id), TrainDigest("job.yaml"));
  EXPECT_EQ(babbles.Wait(std::chrono::seconds(20)), 1);
}

TEST_F(Honesty, AnAuditOfAFinishedRunFindsWhatWasLied) {
  Process coordinator = StartCoordinator({}, {"--audit", "0"});
  Process lies = StartWorker("lies", {"--chaos", "lie@30"});
  const std::string id = Submit("job.yaml");
  WaitForState(id, "finished");
  const std::string run = Path("lied");
  ASSERT_EQ(Client({"fetch", id, "--out", run, "--coordinator", Address()}).code, 0);
  EXPECT_EQ(Client({"replay", run, "--verify"}).code, 0) << "the weights follow from the lies";
  const Finished audit =
      Client({"audit", run, "--data", Path("data.bin"), "--sample", "50%", "--seed", "1"});
  EXPECT_EQ(audit.code, 1);
  EXPECT_NE(audit.err.find("are not what the weights score"), std::string::npos) << audit.err;

  ASSERT_EQ(Client({"train", Path("job.yaml"), "--out", Path("true"), "--set", "steps=10"}).code,
            0);
  const Finished honest =
      Client({"audit", Path("true"), "--data", Path("data.bin"), "--sample", "20%", "--json"});
  EXPECT_EQ(honest.code, 0) << honest.err;
  EXPECT_NE(honest.out.find("\"agrees\":true"), std::string::npos);
  EXPECT_NE(honest.out.find("\"of\":\"held-out streams\""), std::string::npos);
  // However small the sample is, a step is audited as a whole.
  const Finished little =
      Client({"audit", Path("true"), "--data", Path("data.bin"), "--sample", "0.0001%"});
  EXPECT_EQ(little.code, 0) << little.err;
  EXPECT_NE(little.out.find(" 1 training figure "), std::string::npos) << little.out;
  WriteFile("other.bin", "not the data");
  EXPECT_EQ(Client({"audit", Path("true"), "--data", Path("other.bin")}).code, 1);
  EXPECT_EQ(Client({"audit", Path("true"), "--data", Path("data.bin"), "--sample", "0"}).code, 1);
}

TEST_F(Honesty, AnAuditTakesHeldOutDataOfItsOwnOrSaysThatItHadNone) {
  ASSERT_EQ(Client({"data", "count", "--tokens", "9000", "--out", Path("held.bin")}).code, 0);
  WriteFile("two.yaml",
            "name: two\n"
            "model: {hidden: 16, layers: 1}\n"
            "data: {file: data.bin, held_out_file: held.bin}\n"
            "population: 60\nwindow: 8\nsteps: 4\nheld_out_streams: 4\nvalidate_every: 1\n");
  ASSERT_EQ(Client({"train", Path("two.yaml"), "--out", Path("two")}).code, 0);
  const auto audit = [&](std::vector<std::string> more) {
    more.insert(more.begin(),
                {"audit", Path("two"), "--data", Path("data.bin"), "--sample", "100%"});
    return Client(more);
  };
  const Finished without = audit({});
  EXPECT_EQ(without.code, 0) << without.err;
  EXPECT_NE(without.out.find("held-out measures were not audited"), std::string::npos);
  EXPECT_NE(without.out.find(" 0 held-out measures "), std::string::npos) << without.out;
  const Finished json = audit({"--json"});
  EXPECT_NE(json.out.find("{\"not_audited\":\"held-out measures\""), std::string::npos) << json.out;
  const Finished with = audit({"--held-out", Path("held.bin")});
  EXPECT_EQ(with.code, 0) << with.err;
  EXPECT_EQ(with.out.find("not audited"), std::string::npos) << with.out;
  EXPECT_NE(with.out.find(" 5 held-out measures "), std::string::npos) << with.out;
  const Finished wrong = audit({"--held-out", Path("data.bin")});
  EXPECT_EQ(wrong.code, 1);
  EXPECT_NE(wrong.err.find("give that one with --held-out"), std::string::npos) << wrong.err;
}

// The journal of a run with one step's sum of scores changed, all else as it was.
void ForgeTrainingFigure(const std::string& from, const std::string& to, uint32_t step) {
  const auto reader = JournalReader::Open(PosixDisk(), RunDir(PosixDisk(), from).journal_path());
  ASSERT_TRUE(reader.ok());
  const RunDir run(PosixDisk(), to);
  ASSERT_TRUE(run.Create().ok());
  const auto writer = JournalWriter::Create(PosixDisk(), run.journal_path(), (*reader)->header());
  ASSERT_TRUE(writer.ok());
  JournalRecord record;
  while (*(*reader)->Next(record) == JournalReader::Outcome::kRecord) {
    if (auto* commit = std::get_if<CommitRecord>(&record))
      commit->score_sum -= commit->commit.step == step;
    const Status written =
        std::visit([&](const auto& each) { return (*writer)->Append(each); }, record);
    ASSERT_TRUE(written.ok()) << written.message();
  }
}

TEST_F(Honesty, AnAuditFindsATrainingFigureThatIsNotThatOfItsStep) {
  ASSERT_EQ(Client({"train", Path("job.yaml"), "--out", Path("true"), "--set", "steps=5"}).code, 0);
  ForgeTrainingFigure(Path("true"), Path("forged"), 3);
  EXPECT_EQ(Client({"replay", Path("forged"), "--verify"}).code, 0) << "it moves no weight";
  const Finished audit =
      Client({"audit", Path("forged"), "--data", Path("data.bin"), "--sample", "100%"});
  EXPECT_EQ(audit.code, 1) << audit.out;
  EXPECT_NE(audit.err.find("1 of "), std::string::npos) << audit.err;
  EXPECT_NE(audit.err.find("training figure of pairs"), std::string::npos) << audit.err;
  EXPECT_NE(audit.err.find("of step 3"), std::string::npos) << audit.err;
}

}  // namespace
}  // namespace hatchery::test

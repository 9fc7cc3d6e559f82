// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/service/cluster.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace hatchery::test {

void Cluster::SetUp() {
  std::string pattern = testing::TempDir() + "hatchery-XXXXXX";
  directory_ = mkdtemp(pattern.data());
  port_ = FreePort();
  const Finished made = Client({"data", "count", "--tokens", "40000", "--out", Path("data.bin")});
  ASSERT_EQ(made.code, 0) << made.err;
  WriteJob("job.yaml");
}

void Cluster::TearDown() {
  if (HasFailure())
    std::fprintf(stderr, "the files of this test are kept in %s\n", directory_.c_str());
  else
    std::filesystem::remove_all(directory_);
}

void Cluster::WriteFile(const std::string& name, const std::string& text) const {
  std::ofstream(Path(name), std::ios::binary) << text;
}

void Cluster::WriteJob(const std::string& name, const std::string& more) const {
  WriteFile(name,
            "name: test\n"
            "model: {hidden: 48, layers: 2}\n"
            "data: {file: data.bin}\n"
            "population: " +
                std::to_string(kPopulation) + "\nwindow: 32\nsteps: " + std::to_string(kSteps) +
                "\n"
                "held_out_streams: 32\n"
                "validate_every: 10\n"
                "checkpoint_every: 15\n" +
                more);
}

Process Cluster::StartCoordinator(Process::Limits limits, std::vector<std::string> more) {
  more.insert(more.begin(),
              {"hatchery-coordinator", "--listen", Address(), "--data-dir", Path("data")});
  Process process(more, Path("coordinator-" + std::to_string(++runs_)), limits);
  Await("the coordinator to answer", [&] {
    return !process.Running() || Client({"jobs", "--coordinator", Address()}).code == 0;
  });
  EXPECT_TRUE(process.Running()) << process.Err();
  return process;
}

Process Cluster::StartWorker(const std::string& name, std::vector<std::string> more) {
  std::vector<std::string> arguments = {
      "hatchery-worker", "--coordinator", Address(), "--threads",   "1", "--name", name,
      "--backend",       "cpu",           "--cache-dir", Path("cache-" + name)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return Process(arguments, Path(name));
}

Finished Cluster::Client(std::vector<std::string> arguments, std::chrono::seconds limit) {
  arguments.insert(arguments.begin(), "hatchery");
  return RunProgram(arguments, Path("client-" + std::to_string(++runs_)), limit);
}

std::vector<nlohmann::json> Cluster::Ask(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--coordinator", Address(), "--json"});
  const Finished answer = Client(arguments);
  EXPECT_EQ(answer.code, 0) << arguments[0] << ": " << answer.err;
  std::vector<nlohmann::json> lines;
  std::istringstream out(answer.out);
  for (std::string line; std::getline(out, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

std::string Cluster::Submit(const std::string& job_file, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"submit", Path(job_file)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const auto lines = Ask(arguments);
  return lines.empty() ? "" : lines.back().at("job_id").get<std::string>();
}

nlohmann::json Cluster::Job(const std::string& id) {
  for (const auto& job : Ask({"jobs"}))
    if (job.at("job_id") == id) return job;
  ADD_FAILURE() << "no job " << id;
  return {{"state", ""}, {"step", 0}};
}

void Cluster::WaitForState(const std::string& id, const std::string& state) {
  Await("job " + id + " to be " + state, [&] { return Job(id).at("state") == state; });
}

void Cluster::WaitForStep(const std::string& id, uint32_t step) {
  Await("step " + std::to_string(step), [&] { return Job(id).at("step").get<uint32_t>() >= step; });
}

std::string Cluster::FetchDigest(const std::string& id) {
  const std::string out = Path("fetched-" + id + "-" + std::to_string(++runs_));
  const Finished fetched = Client({"fetch", id, "--out", out, "--coordinator", Address()});
  EXPECT_EQ(fetched.code, 0) << fetched.err;
  const Finished proof = Client({"replay", out, "--verify"});
  EXPECT_EQ(proof.code, 0) << proof.err;
  return DigestOf(out);
}

std::string Cluster::TrainDigest(const std::string& job_file,
                                 const std::vector<std::string>& more) {
  const std::string out = Path("trained-" + job_file);
  std::vector<std::string> arguments = {"train", Path(job_file), "--out", out, "--threads", "2"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Finished trained = Client(arguments, std::chrono::seconds(180));
  EXPECT_EQ(trained.code, 0) << trained.err;
  return DigestOf(out);
}

std::string Cluster::DigestOf(const std::string& run) {
  const Finished digest = Client({"digest", run, "--json"});
  EXPECT_EQ(digest.code, 0) << digest.err;
  return nlohmann::json::parse(digest.out).at("digest");
}

void Cluster::Await(const std::string& what, const std::function<bool()>& done,
                    std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (HasFatalFailure()) return;
    if (std::chrono::steady_clock::now() > deadline) {
      FAIL() << "waited in vain for " << what;
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace hatchery::test

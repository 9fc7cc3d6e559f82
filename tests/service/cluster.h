// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A coordinator, workers and clients on loopback, all real programs, in a directory of their own.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/service/process.h"

namespace hatchery::test {

class Cluster : public testing::Test {
 protected:
  // A run of about five seconds on one core: long enough to kill things in the middle.
  static constexpr int kSteps = 60;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  static constexpr int kPopulation = 60;  // for programs that are ten times slower
#else
  static constexpr int kPopulation = 600;
#endif

  void SetUp() override;
  void TearDown() override;

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  std::string Address() const { return "127.0.0.1:" + std::to_string(port_); }

  void WriteFile(const std::string& name, const std::string& text) const;
  // Writes the job file `name` with these lines after the common ones.
  void WriteJob(const std::string& name, const std::string& more = "") const;

  Process StartCoordinator(Process::Limits limits = {}, std::vector<std::string> more = {});
  Process StartWorker(const std::string& name, std::vector<std::string> more = {});

  // `hatchery` with these arguments.
  Finished Client(std::vector<std::string> arguments,
                  std::chrono::seconds limit = std::chrono::seconds(60));
  // The same with --coordinator and --json; fails the test unless it exits with 0.
  std::vector<nlohmann::json> Ask(std::vector<std::string> arguments);

  std::string Submit(const std::string& job_file, std::vector<std::string> more = {});
  nlohmann::json Job(const std::string& id);
  void WaitForState(const std::string& id, const std::string& state);
  void WaitForStep(const std::string& id, uint32_t step);
  // The digest of the finished job's weights: from its checkpoint, and proved by replay.
  std::string FetchDigest(const std::string& id);
  // What `hatchery train` makes of the same job file, with `more` arguments.
  std::string TrainDigest(const std::string& job_file, const std::vector<std::string>& more = {});
  // What `hatchery digest` says of a run's directory.
  std::string DigestOf(const std::string& run);

  // Polls until `done`; fails the test after `limit`.
  void Await(const std::string& what, const std::function<bool()>& done,
             std::chrono::seconds limit = std::chrono::seconds(120));

  std::string directory_;
  int port_ = 0;
  int runs_ = 0;  // names the output files of clients
};

}  // namespace hatchery::test

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// A connection that dies without a word: no end is told, not a byte passes.
#include <chrono>

#include "tests/service/cluster.h"
#include "tests/service/proxy.h"

namespace hatchery::test {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

// docs/reliability.md, "Dead connections"; and some more, for a busy machine.
constexpr seconds kCoordinatorNotices{30}, kWorkerNotices{50}, kGrace{20};

class DeadConnection : public Cluster {
 protected:
  // The sessions of the worker of that name, oldest first.
  std::vector<nlohmann::json> SessionsOf(const std::string& name) {
    std::vector<nlohmann::json> sessions;
    for (const auto& worker : Ask({"workers"}))
      if (worker.at("name") == name) sessions.push_back(worker);
    return sessions;
  }
};

TEST_F(DeadConnection, IsNoticedAtBothEndsAndTheWorkerComesBack) {
  Process coordinator = StartCoordinator();
  Proxy proxy(port_);
  Process near = StartWorker("near");
  Process far(
      {"hatchery-worker", "--coordinator", "127.0.0.1:" + std::to_string(proxy.port()), "--threads",
       "1", "--name", "far", "--backend", "cpu", "--cache-dir", Path("cache-far")},
      Path("far"));
  Await("two workers", [&] { return Ask({"workers"}).size() == 2; });
  const std::string id = Submit("job.yaml");
  WaitForStep(id, 5);
  ASSERT_NE(SessionsOf("far").front().at("state"), "gone");

  proxy.Swallow();
  const auto cut = steady_clock::now();
  WaitForState(id, "finished");  // what it held is lent to the other
  Await(
      "the coordinator to notice", [&] { return SessionsOf("far").front().at("state") == "gone"; },
      kCoordinatorNotices + kGrace);
  Await(
      "the worker to notice and to come back",
      [&] {
        const auto sessions = SessionsOf("far");
        return sessions.size() == 2 && sessions.back().at("state") != "gone";
      },
      kWorkerNotices + kGrace);
  EXPECT_LT(steady_clock::now() - cut, kWorkerNotices + kGrace);
  EXPECT_TRUE(far.Running()) << "it is the same process";
  EXPECT_EQ(FetchDigest(id), TrainDigest("job.yaml"));

  const std::string again = Submit("job.yaml");
  WaitForState(again, "finished");
  EXPECT_EQ(FetchDigest(again), FetchDigest(id));
  EXPECT_GT(SessionsOf("far").back().at("pairs_done").get<uint64_t>(), 0u);
}

}  // namespace
}  // namespace hatchery::test

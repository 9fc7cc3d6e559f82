// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/catalogue.h"

#include <gtest/gtest.h>

#include "tests/records/small_job.h"
#include "tests/records/temporary_directory.h"

namespace hatchery::coordinator {
namespace {

v1::WorkerState Session(uint32_t number) {
  v1::WorkerState worker;
  worker.set_worker_id(std::string("w").append(std::to_string(number)));
  worker.set_state("working");
  return worker;
}

// And whoever stays for long is the newest row once its own was forgotten: ids are not counted from
// there.
TEST(Catalogue, OldSessionsAreForgottenAndTheirIdsNotGivenAgain) {
  const TemporaryDirectory directory;
  auto catalogue = Catalogue::Open(directory / "catalogue.sqlite");
  ASSERT_TRUE(catalogue.ok()) << catalogue.status().message();
  EXPECT_EQ(*(*catalogue)->LastWorker(), 0u);
  std::vector<v1::WorkerState> sessions;
  for (uint32_t i = 5; i < 22'505; ++i) sessions.push_back(Session(i));
  ASSERT_TRUE((*catalogue)->PutWorkers(sessions).ok());
  ASSERT_TRUE((*catalogue)->PutWorker(Session(5)).ok());
  const auto kept = (*catalogue)->Workers(1'000'000);
  EXPECT_LE(kept->size(), 21'001u);
  EXPECT_EQ(kept->back().worker_id(), "w5");
  EXPECT_EQ(*(*catalogue)->LastWorker(), 22'504u);
}

TEST(Catalogue, AJobKeepsItsPlaceHoweverItIsStored) {
  const TemporaryDirectory directory;
  auto catalogue = Catalogue::Open(directory / "catalogue.sqlite");
  ASSERT_TRUE(catalogue.ok()) << catalogue.status().message();
  v1::JobState job;
  *job.mutable_job() = SmallJob();
  for (const char* id : {"1", "2"}) {
    job.set_job_id(id);
    ASSERT_TRUE((*catalogue)->PutJob(job).ok());
  }
  job.set_job_id("1");
  job.set_state(v1::JobState::CANCELLED);
  ASSERT_TRUE((*catalogue)->PutJobDurably(job).ok());
  const auto jobs = (*catalogue)->Jobs();
  ASSERT_EQ(jobs->size(), 2u);
  EXPECT_EQ(jobs->front().job_id(), "1");
  EXPECT_EQ(jobs->front().state(), v1::JobState::CANCELLED);
}

}  // namespace
}  // namespace hatchery::coordinator

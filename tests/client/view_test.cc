// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The live views as pure functions: what they say, and that they keep to the terminal whatever its
// size and whatever peers call themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/client/job_view.h"
#include "services/client/text_view.h"
#include "services/common/share_meter.h"

namespace hatchery {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string All(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  return all;
}

// Without colours.
std::string Plain(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\033')
      i = text.find('m', i);
    else
      plain += text[i];
  }
  return plain;
}

WorkerRow Worker(const std::string& id, const std::string& name, double tokens, double share) {
  WorkerRow row;
  row.state.set_worker_id(id);
  row.state.set_name(name);
  row.state.set_backend("cuda");
  row.state.set_device("cuda: NVIDIA H200");
  row.state.set_state("working");
  row.state.set_job_id("12");
  row.state.set_tokens_per_second(tokens);
  row.share = share;
  return row;
}

JobView View() {
  JobView view;
  view.coordinator = "head:7070";
  view.job.set_job_id("12");
  v1::Job& job = *view.job.mutable_job();
  job.set_name("kjv");
  job.set_steps(400);
  job.set_population(1000);
  job.set_window(100);
  view.job.set_state(v1::JobState::RUNNING);
  view.job.set_step(100);
  view.job.set_workers(2);
  for (uint32_t step = 1; step <= 100; ++step) {
    v1::JobUpdate& update = view.updates.emplace_back();
    update.set_step(step);
    update.set_train_bits_per_byte(8.0 - 0.05 * step);
    update.set_tokens_per_second(50'000);  // two seconds a step
    update.set_alpha(0.5);
    update.set_fitness_nonzero(0.98);
  }
  *view.job.mutable_latest() = view.updates.back();
  view.job.mutable_latest()->set_validation_bits_per_byte(3.25);
  view.job.mutable_latest()->set_validation_step(90);
  view.workers = {Worker("w10", "far/2", 2e6, 0.25), Worker("w2", "near/1", 6e6, 0.75)};
  return view;
}

FleetView Fleet() {
  FleetView fleet;
  fleet.coordinator = "head:7070";
  const JobView view = View();
  v1::JobState finished = view.job, queued = view.job;
  finished.set_job_id("3");
  finished.set_state(v1::JobState::FINISHED);
  finished.set_step(400);
  queued.set_job_id("13");
  queued.set_state(v1::JobState::QUEUED);
  fleet.jobs = {finished, queued, view.job};
  fleet.workers = view.workers;
  return fleet;
}

TEST(JobViewTest, TellsWhatThereIsToKnow) {
  const std::string all = All(Render(View(), {80, 24}, {}));
  EXPECT_THAT(all, HasSubstr("job 12  kjv  running"));
  EXPECT_THAT(all, HasSubstr("head:7070\n"));
  EXPECT_THAT(all, HasSubstr("step 100/400"));
  EXPECT_THAT(all, HasSubstr("25 %"));
  EXPECT_THAT(all, HasSubstr("ETA 10m00s"));
  EXPECT_THAT(all, HasSubstr("train 3.000  held-out 3.250 (step 90)"));
  EXPECT_THAT(all, HasSubstr("50.0 k  2 workers"));
  EXPECT_THAT(all, HasSubstr("7.950 █"));  // the curve's greatest and least
  EXPECT_THAT(all, HasSubstr("3.000 "));
  EXPECT_THAT(all, HasSubstr("6.00 M   75 %"));
  EXPECT_THAT(all, HasSubstr("the job goes on"));
  EXPECT_LT(all.find("w2 "), all.find("w10"));
}

TEST(JobViewTest, KeepsToTheTerminal) {
  JobView view = View();
  view.job.mutable_job()->set_name("Grüße \033[31m\n\t世界 " + std::string(300, 'x'));
  view.job.set_reason(std::string(300, 'r') + "\033]0;title\a");
  view.notice = "the coordinator at \033[2J does not answer";
  for (int i = 0; i < 50; ++i)
    view.workers.push_back(
        Worker("w" + std::to_string(i), "\033c\r\n" + std::string(99, 'n'), 1, 0));
  for (const size_t width : {1, 2, 10, 40, 80, 200})
    for (const size_t rows : {1, 2, 5, 8, 24, 60})
      for (const Style style : {Style{false, true}, Style{true, true}, Style{false, false}}) {
        const auto lines = Render(view, {width, rows}, style);
        FleetView fleet = Fleet();
        fleet.jobs.push_back(view.job);
        fleet.workers = view.workers;
        fleet.notice = view.notice;
        const auto others = Render(fleet, {width, rows}, style);
        EXPECT_LE(lines.size(), rows);
        EXPECT_LE(others.size(), rows);
        for (const std::string& line : {All(lines), All(others)}) {
          std::istringstream in(style.color ? Plain(line) : line);
          for (std::string row; std::getline(in, row);) {
            EXPECT_LE(Columns(row), width) << row;
            for (const char c : row) EXPECT_TRUE(static_cast<uint8_t>(c) >= 32 && c != 127) << row;
            if (!style.utf8) {
              EXPECT_THAT(row, Not(HasSubstr("█")));
            }
          }
        }
      }
}

TEST(JobViewTest, CountsTheWorkersThatHaveNoRoom) {
  JobView view = View();
  for (int i = 20; i < 70; ++i) view.workers.push_back(Worker("w" + std::to_string(i), "n", 1, 0));
  const auto lines = Render(view, {80, 24}, {});
  EXPECT_EQ(lines.size(), 24u);
  EXPECT_THAT(All(lines), HasSubstr("and 39 more workers"));
}

TEST(JobViewTest, NarrowKeepsWhatMatters) {
  const std::string all = All(Render(View(), {40, 24}, {}));
  for (const char* part :
       {"step 100/400", "ETA 10m00s", "train 3.000", "WORKER", "working", "75 %"})
    EXPECT_THAT(all, HasSubstr(part));
  EXPECT_THAT(all, Not(HasSubstr("DEVICE")));
  EXPECT_THAT(All(Render(View(), {200, 24}, {})), HasSubstr("NVIDIA H200"));
}

TEST(JobViewTest, ColoursOnlyWhenAsked) {
  const std::string colored = All(Render(View(), {80, 24}, {.color = true}));
  const std::string plain = All(Render(View(), {80, 24}, {}));
  EXPECT_THAT(colored, HasSubstr("\033[32mrunning\033[0m"));
  EXPECT_THAT(plain, Not(HasSubstr("\033")));
  EXPECT_EQ(Plain(colored), plain);
}

TEST(JobViewTest, ANewJobHasNothingToShowYet) {
  JobView view = View();
  view.updates.clear();
  view.workers.clear();
  view.job.set_step(0);
  view.job.clear_latest();
  const std::string all = All(Render(view, {80, 24}, {}));
  EXPECT_THAT(all, HasSubstr("train -  held-out -"));
  EXPECT_THAT(all, HasSubstr("░    0 %  ETA -"));
}

TEST(FleetViewTest, ShowsWhatRunsFirst) {
  const std::string all = All(Render(Fleet(), {100, 24}, {}));
  EXPECT_THAT(all, HasSubstr("2 workers  2 open jobs  50.0 k tokens/s"));
  EXPECT_LT(all.find("running"), all.find("queued"));
  EXPECT_LT(all.find("queued"), all.find("finished"));
  EXPECT_THAT(all, HasSubstr("100/400"));
  EXPECT_THAT(all, HasSubstr("near/1"));
}

TEST(FleetViewTest, ANarrowTitleIsNotCut) {
  EXPECT_THAT(Render(Fleet(), {100, 24}, {})[0], HasSubstr("hatchery  2 workers"));
  EXPECT_EQ(Render(Fleet(), {49, 24}, {})[0], "hatchery  2 workers  2 open jobs  50.0 k tokens/s");
  EXPECT_EQ(Render(Fleet(), {40, 24}, {})[0], "2 workers  2 open jobs  50.0 k tokens/s");
  EXPECT_EQ(Render(Fleet(), {24, 24}, {})[0], "2 workers  2 open jobs");
}

TEST(Curve, ReachesFromLeastToGreatest) {
  const std::vector<double> falling = {4, 3, 2, 1};
  EXPECT_THAT(Curve(falling, 10, 1, {}), ElementsAre("█▆▃▁"));
  EXPECT_THAT(Curve(falling, 10, 2, {}), ElementsAre("█▃  ", "██▆▁"));
  EXPECT_THAT(Curve(falling, 2, 1, {}), ElementsAre("█▁"));  // averages
  EXPECT_THAT(Curve(std::vector<double>{2, 2}, 4, 1, {}), ElementsAre("▅▅"));
  EXPECT_THAT(Curve(falling, 10, 1, {.utf8 = false}), ElementsAre("#|:."));
  EXPECT_THAT(Curve({}, 10, 1, {}), ElementsAre(""));
}

TEST(BarTest, FillsByEighths) {
  EXPECT_EQ(Bar(0, 4, {}), "░░░░");
  EXPECT_EQ(Bar(0.5, 4, {}), "██░░");
  EXPECT_EQ(Bar(0.28125, 4, {}), "█▏░░");
  EXPECT_EQ(Bar(1, 4, {}), "████");
  EXPECT_EQ(Bar(7, 4, {}), "████");
  EXPECT_EQ(Bar(0.0 / 0.0, 4, {}), "░░░░");
  EXPECT_EQ(Bar(0.5, 4, {.utf8 = false}), "##..");
}

TEST(ShareMeterTest, MeasuresTheLastSeconds) {
  ShareMeter meter;
  std::vector<v1::WorkerState> workers = {Worker("w1", "", 1, 0).state,
                                          Worker("w2", "", 1, 0).state};
  workers[0].set_pairs_done(1'000'000);
  workers[1].set_pairs_done(0);
  meter.Add(0, workers);
  EXPECT_FALSE(meter.Of(workers[0]));
  workers[0].set_pairs_done(1'000'100);
  workers[1].set_pairs_done(300);
  meter.Add(1, workers);
  EXPECT_DOUBLE_EQ(*meter.Of(workers[0]), 0.25);
  EXPECT_DOUBLE_EQ(*meter.Of(workers[1]), 0.75);
  // Later all is done by the first; the second's past is forgotten.
  for (int second = 2; second < 30; ++second) {
    workers[0].set_pairs_done(workers[0].pairs_done() + 10);
    meter.Add(second, workers);
  }
  EXPECT_DOUBLE_EQ(*meter.Of(workers[0]), 1);
  // One that comes new counts from nothing; one of another job counts for that.
  workers.push_back(Worker("w3", "", 1, 0).state);
  workers[2].set_pairs_done(90);  // as many as the first did since second 20
  workers[1].set_job_id("13");
  meter.Add(30, workers);
  EXPECT_DOUBLE_EQ(*meter.Of(workers[2]), 0.5);
  EXPECT_FALSE(meter.Of(workers[1]));
}

}  // namespace
}  // namespace hatchery

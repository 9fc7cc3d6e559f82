// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// `hatchery watch` and `hatchery top` on a real terminal, against real programs.
#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>

#include "tests/service/cluster.h"
#include "tests/service/pseudo_terminal.h"

namespace hatchery::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class TerminalTest : public Cluster {
 protected:
  // A long job with one worker at work.
  void Start() {
    WriteJob("long.yaml");
    coordinator_.emplace(StartCoordinator());
    id_ = Submit("long.yaml", {"--set", "steps=100000"});
    worker_.emplace(StartWorker("hand"));
    WaitForStep(id_, 3);
  }
  TerminalProcess Watch(size_t columns, size_t rows, std::vector<std::string> variables = {}) {
    return {{"hatchery", "watch", id_, "--coordinator", Address()}, columns, rows, variables};
  }
  // All of these at once: between two leases a worker is idle.
  static std::function<bool(const Screen&)> Shows(const std::vector<std::string>& parts) {
    return [parts](const Screen& screen) {
      const std::string text = screen.Text();
      return std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
        return text.find(part) != std::string::npos;
      });
    };
  }
  static uint32_t StepOn(const Screen& screen) {
    const std::string text = screen.Text();
    const size_t at = text.find("step ");
    return at == text.npos ? 0 : static_cast<uint32_t>(std::atoi(text.c_str() + at + 5));
  }
  // The terminal is the shell's again.
  static void ExpectGivenBack(const TerminalProcess& process) {
    EXPECT_FALSE(process.screen().alternate());
    EXPECT_TRUE(process.screen().cursor_shown());
    EXPECT_TRUE(process.EchoesLines());
    EXPECT_EQ(process.screen().unknown(), "");
    EXPECT_FALSE(process.screen().overflowed());
  }

  std::optional<Process> coordinator_, worker_;
  std::string id_;
};

TEST_F(TerminalTest, WatchDrawsAndCtrlCLeavesTheJob) {
  Start();
  TerminalProcess watch = Watch(100, 30);
  ASSERT_TRUE(watch.ReadUntil(Shows({"100 %  ████", "working"})))
      << watch.screen().Text();  // the worker's share
  const std::string text = watch.screen().Text();
  EXPECT_TRUE(watch.screen().alternate());
  EXPECT_FALSE(watch.screen().cursor_shown());
  EXPECT_TRUE(watch.screen().colored());
  for (const char* part :
       {"running", "ETA", "bits/byte", "TOKENS/S", "hand", "cpu", "working", "█"})
    EXPECT_THAT(text, HasSubstr(part));
  const uint32_t step = StepOn(watch.screen());
  EXPECT_TRUE(watch.ReadUntil([&](const Screen& s) { return StepOn(s) > step; })) << text;
  watch.Type("\x03");
  EXPECT_EQ(watch.Wait(), 0);
  ExpectGivenBack(watch);
  EXPECT_THAT(watch.screen().Text(), HasSubstr("stopped watching; the job goes on"));
  EXPECT_THAT(watch.screen().Text(), HasSubstr("hatchery watch " + id_));
  EXPECT_EQ(Job(id_).at("state"), "running");
}

TEST_F(TerminalTest, NoColorNarrowAndResized) {
  Start();
  TerminalProcess watch = Watch(40, 12, {"NO_COLOR=1"});
  ASSERT_TRUE(watch.ReadUntil(Shows({"working"}))) << watch.screen().Text();
  EXPECT_FALSE(watch.screen().overflowed());
  EXPECT_THAT(watch.screen().Text(), Not(HasSubstr("NAME")));
  watch.Resize(150, 40);
  ASSERT_TRUE(watch.ReadUntil(Shows({"NAME"}))) << watch.screen().Text();
  EXPECT_FALSE(watch.screen().colored());
  // Ctrl-Z gives the terminal back, and takes it again when the program goes on: here at once, for
  // there is no shell that it could be stopped for.
  watch.Signal(SIGTSTP);
  ASSERT_TRUE(watch.ReadUntil([&](const Screen& screen) {
    return watch.bytes().find("\033[?1049l") != std::string::npos && screen.alternate() &&
           screen.Text().find("working") != std::string::npos;
  }));
  watch.Type("q");
  EXPECT_EQ(watch.Wait(), 0);
  ExpectGivenBack(watch);
  EXPECT_THAT(watch.screen().Text(), HasSubstr("the job goes on"));
}

TEST_F(TerminalTest, AsciiWhereTheLocaleIsNotUtf8) {
  Start();
  TerminalProcess watch = Watch(80, 24, {"LANG=C"});
  ASSERT_TRUE(watch.ReadUntil(Shows({"working"})));
  watch.Signal(SIGTERM);
  EXPECT_EQ(watch.Wait(), 0);
  ExpectGivenBack(watch);
  for (const char c : watch.bytes()) EXPECT_LT(static_cast<unsigned char>(c), 128);
}

TEST_F(TerminalTest, WatchOutlivesTheCoordinatorAndEndsWithTheJob) {
  coordinator_.emplace(StartCoordinator());
  id_ = Submit("job.yaml", {"--set", "steps=12"});
  TerminalProcess watch = Watch(80, 24);
  ASSERT_TRUE(watch.ReadUntil(Shows({"0 workers"}))) << watch.screen().Text();
  coordinator_->Kill();
  ASSERT_TRUE(watch.ReadUntil(Shows({"no coordinator answers"}))) << watch.screen().Text();
  coordinator_.reset();
  coordinator_.emplace(StartCoordinator());
  worker_.emplace(StartWorker("hand"));
  EXPECT_EQ(watch.Wait(std::chrono::seconds(120)), 0) << watch.screen().Text();
  ExpectGivenBack(watch);
  EXPECT_THAT(watch.screen().Text(), HasSubstr("finished"));
  EXPECT_THAT(watch.screen().Text(), HasSubstr("hatchery fetch " + id_));
}

TEST_F(TerminalTest, TopShowsTheFleet) {
  Start();
  TerminalProcess top({"hatchery", "top", "--coordinator", Address()}, 120, 30);
  ASSERT_TRUE(top.ReadUntil(Shows({"100 %  ████", "working"}))) << top.screen().Text();
  for (const char* part : {"1 worker", "1 open job", "tokens/s", "running", "hand"})
    EXPECT_THAT(top.screen().Text(), HasSubstr(part));
  top.Type("\x03");
  EXPECT_EQ(top.Wait(), 0);
  ExpectGivenBack(top);
  const Finished once = Client({"top", "--coordinator", Address()});
  EXPECT_EQ(once.code, 0) << once.err;
  EXPECT_THAT(once.out, HasSubstr("running"));
  EXPECT_THAT(once.out, HasSubstr("hand"));
  EXPECT_THAT(once.out, Not(HasSubstr("\033")));
}

TEST_F(TerminalTest, ADumbTerminalGetsLines) {
  coordinator_.emplace(StartCoordinator());
  id_ = Submit("job.yaml", {"--set", "steps=12"});
  worker_.emplace(StartWorker("hand"));
  TerminalProcess watch = Watch(80, 24, {"TERM=dumb"});
  EXPECT_EQ(watch.Wait(std::chrono::seconds(120)), 0);
  EXPECT_THAT(watch.bytes(), Not(HasSubstr("\033")));
  EXPECT_THAT(watch.bytes(), HasSubstr("step 12/12"));
}

}  // namespace
}  // namespace hatchery::test

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The doctor's judgements, and its looks at this very machine.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "services/doctor/checks.h"
#include "tests/records/temporary_directory.h"

namespace hatchery::doctor {
namespace {

using testing::HasSubstr;

TEST(Doctor, KnowsInstructionSets) {
  const Check vnni = JudgeCpu("model name\t: Some Xeon\nflags\t\t: sse avx2 avx512f avx512_vnni\n",
                              "cpu (oneDNN avx512_core_vnni, 8 threads)");
  EXPECT_EQ(vnni.verdict, Verdict::kOk);
  EXPECT_EQ(vnni.text,
            "Some Xeon; AVX2, AVX-512, AVX-512 VNNI; cpu (oneDNN avx512_core_vnni, 8 threads)");
  const Check old = JudgeCpu("flags : avx2\n", "cpu (portable AVX2, 8 threads)");
  EXPECT_EQ(old.verdict, Verdict::kWarn);
  EXPECT_THAT(old.remedy, HasSubstr("without VNNI"));
  const Check unused = JudgeCpu("flags : avx2 avx_vnni\n", "cpu (portable AVX2, 8 threads)");
  EXPECT_EQ(unused.verdict, Verdict::kWarn);
  EXPECT_THAT(unused.remedy, HasSubstr("oneDNN"));
  EXPECT_EQ(JudgeCpu("Features\t: asimd asimddp\n", "cpu (portable NEON)").verdict, Verdict::kOk);
}

TEST(Doctor, KnowsContainersThatGrantLess) {
  EXPECT_EQ(JudgeCores(8, 8, 0).verdict, Verdict::kOk);
  EXPECT_EQ(JudgeCores(8, 8, 8).verdict, Verdict::kOk);
  const Check quota = JudgeCores(64, 64, 2.5);
  EXPECT_EQ(quota.verdict, Verdict::kWarn);
  EXPECT_THAT(quota.remedy, HasSubstr("--threads 2"));
  EXPECT_THAT(JudgeCores(4, 4, 0.5).remedy, HasSubstr("--threads 1"));
  EXPECT_EQ(JudgeCores(8, 1, 0).verdict, Verdict::kWarn);
}

TEST(Doctor, JudgesSpaceSyncsAndClocks) {
  EXPECT_EQ(JudgeFreeSpace("/d", uint64_t{100} << 30).verdict, Verdict::kOk);
  EXPECT_EQ(JudgeFreeSpace("/d", uint64_t{100} << 20).verdict, Verdict::kWarn);
  EXPECT_EQ(JudgeFreeSpace("/d", 1000).verdict, Verdict::kBad);
  EXPECT_EQ(JudgeSync("/d", 0.002, 0.1).verdict, Verdict::kOk);
  EXPECT_EQ(JudgeSync("/d", 0.05, 0.1).verdict, Verdict::kWarn);
  EXPECT_EQ(JudgeOffset(-1.5, 0.01).verdict, Verdict::kOk);
  EXPECT_EQ(JudgeOffset(-60, 0.01).verdict, Verdict::kWarn);
  EXPECT_THAT(JudgeOffset(-60, 0.01).text, HasSubstr("60.00 s behind ours"));
  EXPECT_THAT(JudgeOffset(0.35, 0.01).text, HasSubstr("0.35 s ahead of ours"));
  EXPECT_THAT(JudgeOffset(-0.004, 0.001).text, HasSubstr("within 0.01 s of ours"));
  EXPECT_THAT(JudgeOffset(0, 0.2).text, HasSubstr("within 0.20 s of ours"));
  EXPECT_EQ(JudgeOffset(5, 4).verdict, Verdict::kOk);  // a slow way tells little
}

TEST(Doctor, TriesTheDiskAndLeavesNothing) {
  const TemporaryDirectory directory;
  const Checks checks = CheckDisk(directory / "");
  ASSERT_EQ(checks.size(), 3u) << checks.back().text;
  EXPECT_THAT(checks[1].text, HasSubstr("writes "));
  EXPECT_THAT(checks[2].text, HasSubstr("an fsync takes "));
  EXPECT_TRUE(std::filesystem::is_empty(directory / ""));
  const Checks nowhere = CheckDisk(directory / "nowhere");
  ASSERT_EQ(nowhere.size(), 1u);
  EXPECT_EQ(nowhere[0].verdict, Verdict::kBad);
}

TEST(Doctor, TriesPorts) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  const uint16_t port = ntohs(address.sin_port);
  const Checks taken = CheckPort(port, "us", [] { return ""; });
  EXPECT_EQ(taken.at(0).verdict, Verdict::kWarn);
  EXPECT_THAT(taken[0].text, HasSubstr("taken"));
  EXPECT_EQ(CheckPort(port, "us", [] { return "ours"; }).at(0).verdict, Verdict::kOk);
  close(fd);
  EXPECT_THAT(CheckPort(port, "us", [] { return ""; }).at(0).text, HasSubstr("free, for us"));
}

TEST(Doctor, JudgesMetal) {
  apple::DeviceInfo info;
  info.name = "Apple M2 Max";
  info.family = "Apple 8";
  info.memory_bytes = 48'000'000'000;
  Check check = JudgeMetal(info, true);
  EXPECT_EQ(check.verdict, Verdict::kOk);
  EXPECT_THAT(check.text, AllOf(HasSubstr("Apple M2 Max, family Apple 8"), HasSubstr("48.0 GB")));
  info.memory_bytes = 100 << 20;
  EXPECT_EQ(JudgeMetal(info, true).verdict, Verdict::kWarn);
  check = JudgeMetal(NotFound("Metal finds no GPU"), true);
  EXPECT_EQ(check.verdict, Verdict::kWarn);
  EXPECT_THAT(check.text, HasSubstr("finds no GPU"));
  EXPECT_THAT(check.remedy, HasSubstr("log in at the machine itself"));
  check = JudgeMetal(InternalError("Metal does not compile the kernels"), true);
  EXPECT_EQ(check.verdict, Verdict::kWarn);
  EXPECT_EQ(check.text, "refused: Metal does not compile the kernels");
  EXPECT_THAT(check.remedy, HasSubstr("update macOS"));
  check = JudgeMetal(NotFound("nothing"), false);
  EXPECT_EQ(check.verdict, Verdict::kOk);
  EXPECT_THAT(check.text, HasSubstr("not an Apple machine"));
}

TEST(Doctor, LooksAtThisMachine) {
  for (const Checks& checks : {CheckCpu(), CheckMemory(), CheckLimits(), CheckCuda(), CheckMetal(),
                               CheckGang(), CheckClock()}) {
    ASSERT_FALSE(checks.empty());
    for (const Check& check : checks) {
      EXPECT_FALSE(check.text.empty()) << check.what;
      EXPECT_EQ(check.remedy.empty(), check.verdict == Verdict::kOk) << check.what;
    }
  }
}

}  // namespace
}  // namespace hatchery::doctor

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// `hatchery` end to end: train, stop, resume, replay, evaluate, and what it says to bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/records/temporary_directory.h"

namespace hatchery {
namespace {

using testing::HasSubstr;

struct Ran {
  int exit_code = -1;
  std::string output;  // stdout and stderr
};

Ran Shell(const std::string& command) {
  Ran ran;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  while (const size_t size = std::fread(buffer, 1, sizeof(buffer), pipe))
    ran.output.append(buffer, size);
  const int status = ::pclose(pipe);
  ran.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

Ran Hatchery(const std::string& arguments) { return Shell(HATCHERY_BINARY " " + arguments); }

class Cli : public testing::Test {
 protected:
  Cli() {
    EXPECT_EQ(Hatchery("data count --vocab 16 --tokens 20000 --out " + data_).exit_code, 0);
    Write(job_,
          "name: tiny\nmodel: {hidden: 16, layers: 1}\npopulation: 64\nwindow: 8\nsteps: 8\n"
          "held_out_streams: 8\ncheckpoint_every: 3\nvalidate_every: 2\n"
          "data:\n  file: count.bin\n");
  }

  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string Read(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }
  Ran Train(const std::string& run, const std::string& more = "") {
    return Hatchery("train " + job_ + " --threads 1 --out " + (directory_ / run) + " " + more);
  }
  // One line that starts as every error does, with `part` in it, and a failure exit.
  static void ExpectError(const Ran& ran, const std::string& part) {
    EXPECT_NE(ran.exit_code, 0) << ran.output;
    EXPECT_THAT(ran.output, HasSubstr(part));
    EXPECT_THAT(ran.output, HasSubstr("hatchery: "));
    EXPECT_EQ(ran.output.find("terminate"), std::string::npos);
  }

  TemporaryDirectory directory_;
  std::string data_ = directory_ / "count.bin";
  std::string job_ = directory_ / "tiny.yaml";
};

TEST_F(Cli, TrainReplayEvalSampleDigest) {
  const Ran train = Train("run", "--json");
  ASSERT_EQ(train.exit_code, 0) << train.output;
  std::istringstream lines(train.output);
  std::string line, digest;
  int steps = 0;
  while (std::getline(lines, line)) {
    if (line.front() != '{') continue;  // what stderr says for people
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["step"], ++steps);
    std::vector<std::string> keys;
    for (const auto& [key, value] : json.items()) keys.push_back(key);
    EXPECT_THAT(keys, testing::UnorderedElementsAre("step", "train_bits_per_byte",
                                                    "validation_bits_per_byte", "tokens_per_second",
                                                    "update_rate", "fitness_nonzero", "digest"));
    digest = json["digest"];
  }
  EXPECT_EQ(steps, 8);

  const std::string run = directory_ / "run";
  const Ran replay = Hatchery("replay " + run + " --verify");
  EXPECT_EQ(replay.exit_code, 0) << replay.output;
  EXPECT_THAT(replay.output, HasSubstr(digest));
  EXPECT_THAT(Hatchery("digest " + run).output, HasSubstr(digest));

  const std::string at3 = directory_ / "at3.safetensors";
  EXPECT_EQ(Hatchery("replay " + run + " --at 3 --out " + at3).exit_code, 0);
  EXPECT_THAT(Hatchery("digest " + at3).output, HasSubstr("step 3"));

  const Ran eval = Hatchery("eval " + run + " --json --data " + data_);
  EXPECT_EQ(eval.exit_code, 0) << eval.output;
  EXPECT_TRUE(nlohmann::json::parse(eval.output).contains("bits_per_byte"));
  const std::string sample = "sample " + run + " --prompt abc --bytes 20 --seed 4";
  EXPECT_EQ(Hatchery(sample).exit_code, 0);
  EXPECT_EQ(Hatchery(sample).output, Hatchery(sample).output);
}

TEST_F(Cli, KilledRunsGoOnToTheSameDigest) {
  ASSERT_EQ(Train("straight", "--set steps=60").exit_code, 0);
  const std::string run = directory_ / "killed";
  for (const char* signal : {"TERM", "KILL"})
    Shell("timeout -s " + std::string(signal) + " 0.2 " HATCHERY_BINARY " train " + job_ +
          " --threads 1 --set steps=60 --out " + run);
  const Ran last = Train("killed", "--set steps=60");
  ASSERT_EQ(last.exit_code, 0) << last.output;
  const std::string digest = Hatchery("digest " + run).output.substr(0, 32);
  EXPECT_EQ(digest, Hatchery("digest " + (directory_ / "straight")).output.substr(0, 32));
  EXPECT_EQ(Hatchery("replay " + run + " --verify").exit_code, 0);
}

TEST_F(Cli, InitFromStartsWithGivenWeights) {
  ASSERT_EQ(Train("first").exit_code, 0);
  const Ran second = Train("second", "--init-from " + (directory_ / "first"));
  ASSERT_EQ(second.exit_code, 0) << second.output;
  EXPECT_EQ(Hatchery("replay " + (directory_ / "second") + " --verify").exit_code, 0);
  ExpectError(Train("third", "--set model.hidden=24 --init-from " + (directory_ / "first")),
              "1 layers x 16");
}

TEST_F(Cli, DamageIsNamed) {
  ASSERT_EQ(Train("run").exit_code, 0);
  const std::string run = directory_ / "run", journal = run + "/journal.hatchery";
  const std::string good = Read(journal);
  Write(journal, good.substr(0, good.size() - 1));
  ExpectError(Hatchery("replay " + run + " --verify"), "is cut short");
  std::string bad = good;
  bad[bad.size() / 2] ^= 8;
  Write(journal, bad);
  ExpectError(Hatchery("replay " + run + " --verify"), "is damaged");
  ExpectError(Train("run"), "is damaged");
  Write(journal, good);
  const std::string checkpoint = run + "/checkpoints/step-0000000008.safetensors";
  std::string bytes = Read(checkpoint);
  bytes.back() ^= 1;
  Write(checkpoint, bytes);
  for (const char* command : {"digest ", "replay ", "sample "})
    ExpectError(Hatchery(command + run), "step-0000000008.safetensors");
}

TEST_F(Cli, BadInputGetsOneLine) {
  ExpectError(Hatchery("train nowhere.yaml --out " + (directory_ / "x")), "nowhere.yaml");
  ExpectError(Train("x", "--set noise.rank=9"), "noise.rank");
  ExpectError(Train("x", "--set noise.rnak=1"), "noise.rank");
  ExpectError(Train("x", "--set population=63"), "population");
  ExpectError(Train("x", "--set steps="), "steps is empty; it must be a whole number");
  ExpectError(Train("x", "--set group_size=48"), "not a multiple");
  ExpectError(Train("x", "--data " + (directory_ / "missing")), "missing");
  Write(directory_ / "empty", "");
  ExpectError(Train("x", "--data " + (directory_ / "empty")), "empty");
  Write(directory_ / "short", "abcdefgh");
  ExpectError(Train("x", "--data " + (directory_ / "short")), "one window reads");
  ExpectError(Train("x", "--backend abacus"), "abacus");
  ExpectError(Train("x", "--devices 0,x"), "'x' is not the number of a device");
  ExpectError(Train("x", "--devices 98,98"), "names device 98 twice");
  ExpectError(Train("x", "--devices 98"), "there is no CUDA device 98");
  ExpectError(Train("x", "--devices 0 --backend cpu"), "the backend is cpu");
  Write(job_, "steps: 3\nmodel:\n  hidden: 16\n  layers: [1\n");
  ExpectError(Train("x"), "tiny.yaml:");
  Write(job_, "steps: 3\nmodel:\n  hidden: -16\n");
  ExpectError(Train("x"), "tiny.yaml:3");
  Write(job_, "steps: 3\ncolour: red\n");
  ExpectError(Train("x"), "tiny.yaml:2");
  ExpectError(Train("x"), "the fields are");
  Write(job_, "seed: 3\n");
  ExpectError(Train("x"), "did you mean noise.seed?");
  Write(job_, ",steps: 3\n");  // of which yaml-cpp makes documents without end
  ExpectError(Train("x"), "tiny.yaml");
}

// Exactly one line, with every one of `parts` in it.
void ExpectOneLine(const Ran& ran, const std::vector<std::string>& parts) {
  EXPECT_GT(ran.exit_code, 0) << ran.output;
  EXPECT_LT(ran.exit_code, 128) << ran.output;
  EXPECT_EQ(std::count(ran.output.begin(), ran.output.end(), '\n'), 1) << ran.output;
  for (const std::string& part : parts) EXPECT_THAT(ran.output, HasSubstr(part));
}

TEST_F(Cli, CommandLinesThatCannotBeUsed) {
  ExpectOneLine(Train("x", "--steps -3"), {"--steps", "-3", "[0, 2147483647]"});
  ExpectOneLine(Train("x", "--steps 99999999999"), {"--steps", "99999999999", "[0, 2147483647]"});
  ExpectOneLine(Hatchery("train " + job_ + " --out x --threads 100000"),
                {"--threads", "100000", "[0, 4096]"});
  for (const char* command : {"eval", "sample", "replay"})
    ExpectOneLine(Hatchery(std::string(command) + " x --threads 100000"), {"--threads", "4096"});
  ExpectOneLine(Hatchery("sample x --bytes abc"), {"--bytes", "abc", "[0, 4294967295]"});
  ExpectOneLine(Hatchery("sample x --min-p 2"), {"--min-p", "[0, 1]"});
  ExpectOneLine(Hatchery("replay x --at -1 --out y"), {"--at", "-1", "[0, 2147483647]"});
  ExpectOneLine(Hatchery("foo"), {"foo", "describe", "train", "submit", "watch"});
  ExpectOneLine(Hatchery("data foo"), {"foo", "count", "kjv"});
  ExpectOneLine(Hatchery(""), {"needs a command", "train"});
  ExpectOneLine(Hatchery("train --out x"), {"JOB", "hatchery train --help"});
  EXPECT_EQ(Hatchery("foo").exit_code, 2);
  // An unset shell variable must not write into the root.
  ExpectOneLine(Hatchery("train " + job_ + " --out ''"), {"--out", "empty"});
  for (const char* address : {"127.0.0.1", "127.0.0.1:99999", "127.0.0.1:abc", ":7070", "::1:7070"})
    ExpectOneLine(Hatchery(std::string("jobs --coordinator ") + address), {address, "HOST:PORT"});
}

TEST_F(Cli, EveryCommandHasVersionAndHelp) {
  for (const char* command :
       {"",        "describe", "train",  "eval",   "sample",     "replay",
        "fsck",    "backup",   "digest", "data",   "data count", "data kjv",
        "submit",  "jobs",     "watch",  "pause",  "resume",     "cancel",
        "workers", "events",   "fetch",  "report", "plot",       "export-metrics"}) {
    const Ran version = Hatchery(std::string(command) + " --version");
    EXPECT_EQ(version.exit_code, 0) << command << version.output;
    EXPECT_THAT(version.output, HasSubstr("hatchery 0.")) << command;
    EXPECT_EQ(Hatchery(std::string(command) + " --help").exit_code, 0) << command;
  }
}

TEST_F(Cli, SetTakesOneValue) {
  const std::string before = " --set steps=3 --set noise.seed=5 ";
  EXPECT_EQ(Hatchery("describe" + before + job_).exit_code, 0);
  const Ran train =
      Hatchery("train" + before + job_ + " --threads 1 --out " + (directory_ / "set"));
  EXPECT_EQ(train.exit_code, 0) << train.output;
}

TEST_F(Cli, OutputToAFullDeviceIsAnError) {
  for (const std::string& command :
       {"describe --json " + job_, std::string("--help"), std::string("train --help")}) {
    const Ran ran = Shell("sh -c '" HATCHERY_BINARY " " + command + " >/dev/full'");
    EXPECT_EQ(ran.exit_code, 1) << command;
    EXPECT_THAT(ran.output, HasSubstr("cannot write to stdout"));
  }
}

TEST_F(Cli, WhatDoesNotFitIntoMemoryOrDisk) {
  const Ran model = Train("x", "--set model.hidden=8192 --set model.layers=1024");
  ExpectOneLine(model, {"of memory", "are available", "GB"});
  ExpectOneLine(Hatchery("data count --tokens 1000000000000 --out " + (directory_ / "large")),
                {"large", "1.0 TB", "free"});
  EXPECT_FALSE(std::filesystem::exists(directory_ / "large"));
  ExpectOneLine(Hatchery("data count --tokens 5 --out /dev/null"), {"not a regular file"});
}

TEST_F(Cli, JobFilesThatAreNone) {
  ExpectOneLine(Hatchery("train " + directory_.path() + " --out x"), {directory_.path()});
  ExpectOneLine(Hatchery("describe " + directory_.path()), {directory_.path()});
  const auto refused = [&](const std::string& text, const std::vector<std::string>& parts) {
    Write(job_, text);
    ExpectOneLine(Train("x"), parts);
  };
  refused("", {"is empty"});
  refused("steps: 3\n---\nsteps: 4\n", {"tiny.yaml:3", "second YAML document"});
  refused("data: {file: a, file: b}\n", {"tiny.yaml:1", "data.file is given twice"});
  refused("model: {hidden: 8,\n  hidden: 16}\n", {"tiny.yaml:2", "model.hidden is given twice"});
  refused("steps: 3\n? [a, b]\n: 4\n", {"tiny.yaml:2", "must be a word"});
  refused("population: 64\nwindow: 8\ngroup_size: 48\n", {"tiny.yaml:1", "not a multiple"});
  refused("window: 8\nnoise:\n  sigma_shift: 9\n", {"tiny.yaml:3", "sigma_shift"});
  refused("window: 8\nname: \"a\\tb\"\n", {"tiny.yaml:2", "name"});
  refused("priority: 1001\n", {"tiny.yaml:1", "priority is 1001", "[-1000, 1000]"});
}

TEST_F(Cli, ReplayWritesOverNoFileOfARun) {
  ASSERT_EQ(Train("run").exit_code, 0);
  const std::string run = directory_ / "run", journal = run + "/journal.hatchery";
  const std::string good = Read(journal);
  const std::string replay = "replay " + run + " --at 3 --threads 1 --out ";
  ExpectOneLine(Hatchery(replay + journal), {"belongs to a run"});
  ExpectOneLine(Hatchery(replay + run + "/checkpoints/step-0000000008.safetensors"),
                {"belongs to a run"});
  ExpectOneLine(Hatchery(replay + job_), {"not a checkpoint"});
  EXPECT_EQ(Read(journal), good);
  EXPECT_EQ(Hatchery(replay + run + "/checkpoints/step-0000000003.safetensors").exit_code, 0);
  const std::string out = directory_ / "out.safetensors";
  EXPECT_EQ(Hatchery(replay + out).exit_code, 0);
  EXPECT_EQ(Hatchery(replay + out).exit_code, 0);
}

TEST_F(Cli, AFinishedRunGetsItsFinalCheckpointBack) {
  ASSERT_EQ(Train("run").exit_code, 0);
  const std::string path = directory_ / "run/checkpoints/step-0000000008.safetensors";
  const std::string good = Read(path);
  Write(path, good.substr(0, good.size() - 1) + '!');
  ASSERT_EQ(Train("run").exit_code, 0);
  EXPECT_EQ(Read(path), good);
  std::filesystem::remove(path);
  ASSERT_EQ(Train("run").exit_code, 0);
  EXPECT_EQ(Read(path), good);
}

TEST_F(Cli, ValidateEveryIsPartOfTheRun) {
  ASSERT_EQ(Train("run", "--steps 4").exit_code, 0);
  ExpectOneLine(Train("run", "--steps 4 --set validate_every=1"),
                {"validate_every is 1 here and 2"});
}

TEST_F(Cli, RemediesAreNamed) {
  ASSERT_EQ(Train("run").exit_code, 0);
  ExpectOneLine(Train("x", "--data " + (directory_ / "missing")), {"missing", "--data"});
  Write(directory_ / "empty", "");
  ExpectOneLine(Hatchery("eval " + (directory_ / "run") + " --data " + (directory_ / "empty")),
                {"empty", "give a file"});
  const std::string path = directory_ / "run/checkpoints/step-0000000008.safetensors";
  Write(path, Read(path).substr(0, 1000));
  ExpectOneLine(Hatchery("digest " + (directory_ / "run")), {"hatchery replay", "--at STEP"});
}

TEST_F(Cli, AFullDiskIsAnErrorAndNothingIsLost) {
  ASSERT_EQ(Train("straight").exit_code, 0);
  // The journal's header and a few steps fit.
  const std::string command = HATCHERY_BINARY " train " + job_ + " --threads 1 --out " +
                              (directory_ / "full") + " --set checkpoint_every=0";
  const Ran full = Shell("sh -c 'trap \"\" XFSZ; ulimit -f 3; " + command + "'");
  ExpectError(full, "free some space");
  ASSERT_EQ(Train("full").exit_code, 0);
  EXPECT_EQ(Hatchery("digest " + (directory_ / "full")).output.substr(0, 32),
            Hatchery("digest " + (directory_ / "straight")).output.substr(0, 32));
}

TEST_F(Cli, DescribesTheExamples) {
  ASSERT_EQ(Hatchery("data count --vocab 16 --tokens 200000 --out " + data_).exit_code, 0);
  for (const char* name : {"count", "kjv-small", "kjv-egg-6x256"}) {
    const Ran ran = Hatchery("describe " HATCHERY_SOURCE "/examples/" + std::string(name) +
                             ".yaml --data " + data_);
    EXPECT_EQ(ran.exit_code, 0) << ran.output;
    EXPECT_THAT(ran.output, HasSubstr("layers.0.wf"));
  }
}

// Events alone are not foretold: that it began, and two notes of the time.
TEST_F(Cli, DescribesTheJournalThatTrainingWrites) {
  ASSERT_EQ(Train("run").exit_code, 0);
  const auto size = std::filesystem::file_size(directory_ / "run/journal.hatchery");
  const auto described = nlohmann::json::parse(Hatchery("describe --json " + job_).output);
  const auto foretold = described["journal_bytes"].get<uint64_t>();
  EXPECT_GT(size, foretold);
  EXPECT_LT(size, foretold + 400);
}

// A whole number of records is gone, so no incomplete one tells; the checkpoints do.
TEST_F(Cli, ReplayNamesAJournalThatLostItsEnd) {
  ASSERT_EQ(Train("run").exit_code, 0);
  const auto described = nlohmann::json::parse(Hatchery("describe --json " + job_).output);
  const std::string journal = directory_ / "run/journal.hatchery";
  // The closing record and the last commit, at least.
  std::filesystem::resize_file(journal,
                               std::filesystem::file_size(journal) -
                                   3 * described["journal_bytes_per_step"].get<uint64_t>());
  const Ran ran = Hatchery("replay " + (directory_ / "run") + " --verify");
  ExpectError(ran, journal + " has lost its end");
  EXPECT_THAT(ran.output, HasSubstr("step-0000000008.safetensors"));
  // And what the message says helps.
  ASSERT_EQ(Train("run").exit_code, 0);
  EXPECT_EQ(Hatchery("replay " + (directory_ / "run") + " --verify").exit_code, 0);
}

}  // namespace
}  // namespace hatchery

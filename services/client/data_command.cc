// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Data to train on: a text that every Debian machine can make, and a task that is learnt in
// minutes.
#include <sys/wait.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "kernels/core/philox.h"
#include "kernels/core/update.h"
#include "services/client/command.h"
#include "services/common/disk.h"

namespace hatchery {
namespace {

Status Write(const std::string& path, const std::string& bytes) {
  HATCHERY_RETURN_IF_ERROR(PosixDisk().WriteAtomically(path, bytes));
  std::printf("wrote %s (%zu bytes)\n", path.c_str(), bytes.size());
  return {};
}

// Counts up modulo `vocab`, starting anew at a random value after a random 256 to 1,279 tokens, so
// that no position predicts the value but all but one in some 770 tokens follow from the last.
std::string Count(uint32_t vocab, uint64_t tokens, uint64_t seed) {
  std::string bytes;
  bytes.reserve(tokens);
  for (uint32_t run = 0; bytes.size() < tokens; ++run) {
    const core::Word4 bits = core::Philox({run, 0, 0, 0}, seed);
    uint32_t value = static_cast<uint32_t>(uint64_t{bits.w0} * vocab >> 32);
    for (uint32_t left = 256 + (bits.w1 & 1023); left != 0 && bytes.size() < tokens; --left) {
      bytes += static_cast<char>(value);
      value = (value + 1) % vocab;
    }
  }
  return bytes;
}

StatusOr<std::string> KingJames() {
  FILE* pipe = popen("bible -f gen1:1-rev22:21 2>/dev/null", "r");
  if (pipe == nullptr) return Unavailable("cannot start a shell to run bible");
  std::string text;
  char buffer[1 << 16];
  for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  const int status = pclose(pipe);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || text.empty())
    return NotFound("the program bible is missing or failed; install the package bible-kjv");
  return text;
}

struct Options {
  std::string out;
  uint32_t vocab = 16;
  uint64_t tokens = 200000, seed = 1;
};

}  // namespace

void AddDataCommand(CLI::App& app) {
  auto* command = app.add_subcommand("data", "Make a data file");
  command->require_subcommand(1);
  auto options = std::make_shared<Options>();

  auto* count = command->add_subcommand("count", "Bytes that count up modulo a vocabulary");
  count->add_option("--vocab", options->vocab, "Values, in [2, 256]")->check(CLI::Range(2, 256));
  count->add_option("--tokens", options->tokens, "Bytes to write")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40));
  count->add_option("--seed", options->seed, "Of the runs' starts and lengths");
  count->add_option("--out", options->out, "The file to write")->required();
  SetAction(count, [options] {
    return Write(options->out, Count(options->vocab, options->tokens, options->seed));
  });

  auto* kjv = command->add_subcommand("kjv", "The King James Bible, from the package bible-kjv");
  kjv->add_option("--out", options->out, "The file to write")->required();
  SetAction(kjv, [options]() -> Status {
    HATCHERY_ASSIGN_OR_RETURN(const std::string text, KingJames());
    return Write(options->out, text);
  });
}

}  // namespace hatchery

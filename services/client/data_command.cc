// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Data to train on: a text that every Debian machine can make, and a task that is learnt in
// minutes.
#include <sys/wait.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "kernels/core/philox.h"
#include "kernels/core/update.h"
#include "services/client/command.h"
#include "services/client/stop_on_signal.h"
#include "services/common/cli_error.h"
#include "services/common/disk.h"
#include "services/common/memory.h"

namespace hatchery {
namespace {

Status Write(const std::string& path, const std::string& bytes) {
  HATCHERY_RETURN_IF_ERROR(PosixDisk().WriteAtomically(path, bytes));
  std::printf("wrote %s (%zu bytes)\n", path.c_str(), bytes.size());
  return {};
}

// Counts up modulo `vocab`, starting anew at a random value after a random 256 to 1,279 tokens, so
// that no position predicts the value but all but one in some 770 tokens follow from the last.
class Counter {
 public:
  Counter(uint32_t vocab, uint64_t seed) : vocab_(vocab), seed_(seed) {}

  // The next `tokens` of them.
  std::string Take(uint64_t tokens) {
    std::string bytes(tokens, '\0');
    for (char& byte : bytes) {
      if (left_ == 0) StartRun();
      byte = static_cast<char>(value_);
      value_ = (value_ + 1) % vocab_;
      --left_;
    }
    return bytes;
  }

 private:
  void StartRun() {
    const core::Word4 bits = core::Philox({run_++, 0, 0, 0}, seed_);
    value_ = static_cast<uint32_t>(uint64_t{bits.w0} * vocab_ >> 32);
    left_ = 256 + (bits.w1 & 1023);
  }

  const uint32_t vocab_;
  const uint64_t seed_;
  uint32_t run_ = 0, value_ = 0, left_ = 0;
};

Status CheckRoom(const std::string& path, uint64_t bytes) {
  std::error_code error;
  if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error))
    return InvalidArgument("cannot replace " + path + ": it is not a regular file");
  const auto parent = std::filesystem::absolute(path, error).parent_path();
  const auto space = std::filesystem::space(parent, error);
  if (error || bytes <= space.available) return {};
  return ResourceExhausted(path + " would take " + FormatBytes(bytes) + ", and " + parent.string() +
                           " has " + FormatBytes(space.available) +
                           " free; lower --tokens or free some space");
}

// In pieces: a file may be larger than memory. Nothing is left behind unless all of it is there.
Status WriteCount(const std::string& path, uint64_t tokens, Counter counter) {
  constexpr uint64_t kPiece = 1 << 22;
  HATCHERY_RETURN_IF_ERROR(CheckRoom(path, tokens));
  const StopOnSignal signals;
  Disk& disk = PosixDisk();
  const std::string temporary = path + ".incoming";
  HATCHERY_RETURN_IF_ERROR(disk.WriteAtomically(temporary, ""));
  const auto fill = [&]() -> Status {
    HATCHERY_ASSIGN_OR_RETURN(const auto file, disk.OpenAppend(temporary));
    for (uint64_t left = tokens; left != 0;) {
      if (signals.token().stop_requested()) return Cancelled("stopped; nothing was written");
      const uint64_t piece = std::min(left, kPiece);
      HATCHERY_RETURN_IF_ERROR(file->Append(counter.Take(piece)));
      left -= piece;
    }
    HATCHERY_RETURN_IF_ERROR(file->Sync());
    return disk.Rename(temporary, path);
  };
  if (const Status status = fill(); !status.ok()) {
    (void)disk.Remove(temporary);
    return status;
  }
  std::printf("wrote %s (%llu bytes)\n", path.c_str(), static_cast<unsigned long long>(tokens));
  return {};
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
  count->add_option("--vocab", options->vocab, "Values, in [2, 256]")->check(WholeNumber(2, 256));
  count->add_option("--tokens", options->tokens, "Bytes to write")
      ->check(WholeNumber(1, uint64_t{1} << 40));
  count->add_option("--seed", options->seed, "Of the runs' starts and lengths")
      ->check(WholeNumber(0, UINT64_MAX));
  count->add_option("--out", options->out, "The file to write")->required();
  SetAction(count, [options] {
    return WriteCount(options->out, options->tokens, Counter(options->vocab, options->seed));
  });

  auto* kjv = command->add_subcommand("kjv", "The King James Bible, from the package bible-kjv");
  kjv->add_option("--out", options->out, "The file to write")->required();
  SetAction(kjv, [options]() -> Status {
    HATCHERY_ASSIGN_OR_RETURN(const std::string text, KingJames());
    return Write(options->out, text);
  });
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Sampling may use floating point: no weight depends on it.
#include <CLI/CLI.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "kernels/core/philox.h"
#include "services/client/command.h"
#include "services/client/model_file.h"
#include "services/common/cli_error.h"

namespace hatchery {
namespace {

struct Options {
  std::string model, prompt;
  uint32_t bytes = 200;
  double temperature = 1, min_p = 0, presence_penalty = 0;
  uint64_t seed = 1;
  bool json = false;
  BackendOptions backend;
};

// The next byte, given 256 logits in sixteenths of a bit; `uniform` in [0, 1) decides.
uint8_t Choose(const std::vector<int8_t>& logits, const std::array<bool, 256>& present,
               const Options& options, double uniform) {
  std::array<double, 256> bits;
  for (size_t v = 0; v < 256; ++v)
    bits[v] = logits[v] / 16.0 - (present[v] ? options.presence_penalty : 0);
  const size_t best = std::max_element(bits.begin(), bits.end()) - bits.begin();
  if (options.temperature == 0) return static_cast<uint8_t>(best);
  std::array<double, 256> weights;
  double total = 0;
  for (size_t v = 0; v < 256; ++v) {
    const double ratio = std::exp2((bits[v] - bits[best]) / options.temperature);
    weights[v] = ratio >= options.min_p ? ratio : 0;
    total += weights[v];
  }
  double left = uniform * total;
  for (size_t v = 0; v < 256; ++v) {
    left -= weights[v];
    if (left < 0 && weights[v] > 0) return static_cast<uint8_t>(v);
  }
  return static_cast<uint8_t>(best);
}

Status Sample(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(const ModelFile model, ReadModel(options.model));
  HATCHERY_ASSIGN_OR_RETURN(auto replica, LoadModel(model.checkpoint, options.backend));
  RecurrentState state;
  std::array<bool, 256> present{};
  // A model without a prompt starts from a line's end.
  const std::string prompt = options.prompt.empty() ? "\n" : options.prompt;
  std::vector<int8_t> logits;
  for (const char c : prompt) {
    HATCHERY_ASSIGN_OR_RETURN(logits, replica->Logits(static_cast<uint8_t>(c), state));
  }
  std::string text;
  if (!options.json) std::printf("%s", options.prompt.c_str());
  for (uint32_t i = 0; i < options.bytes; ++i) {
    const core::Word4 bits = core::Philox({i, 0, 0, 0}, options.seed);
    const uint8_t byte = Choose(logits, present, options, bits.w0 * 0x1p-32);
    present[byte] = true;
    text += static_cast<char>(byte);
    if (!options.json) std::fwrite(&byte, 1, 1, stdout);
    HATCHERY_ASSIGN_OR_RETURN(logits, replica->Logits(byte, state));
  }
  if (options.json) {
    const nlohmann::ordered_json line = {{"prompt", options.prompt}, {"text", text}};
    const auto replace = nlohmann::ordered_json::error_handler_t::replace;
    std::printf("%s\n", line.dump(-1, ' ', false, replace).c_str());
  } else {
    std::printf("\n");
  }
  return {};
}

}  // namespace

void AddSampleCommand(CLI::App& app) {
  auto* command = app.add_subcommand("sample", "Let a model write");
  auto options = std::make_shared<Options>();
  command->add_option("MODEL", options->model, "A run's directory or a checkpoint file")
      ->required();
  command->add_option("--prompt", options->prompt, "Text to go on from");
  command->add_option("--bytes", options->bytes, "Bytes to write")
      ->check(WholeNumber(0, UINT32_MAX));
  command->add_option("--temperature", options->temperature, "0: always the likeliest byte")
      ->check(Number(0, 1e6));
  command
      ->add_option("--min-p", options->min_p,
                   "Drop bytes less likely than this fraction of the likeliest")
      ->check(Number(0, 1));
  command
      ->add_option("--presence-penalty", options->presence_penalty,
                   "Bits taken off every byte that was already written")
      ->check(Number(-1e6, 1e6));
  command->add_option("--seed", options->seed, "The same seed writes the same text")
      ->check(WholeNumber(0, UINT64_MAX));
  AddBackendOptions(*command, options->backend);
  command->add_flag("--json", options->json, "One JSON object");
  SetAction(command, [options] { return Sample(*options); });
}

}  // namespace hatchery

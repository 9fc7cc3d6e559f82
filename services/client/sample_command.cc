// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "services/client/command.h"
#include "services/client/model_file.h"
#include "services/common/cli_error.h"
#include "services/common/sampling.h"

namespace hatchery {
namespace {

struct Options {
  std::string model, prompt;
  SamplingOptions sampling;
  bool json = false;
  BackendOptions backend;
};

Status Sample(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(const ModelFile model, ReadModel(options.model));
  HATCHERY_ASSIGN_OR_RETURN(auto replica, LoadModel(model.checkpoint, options.backend));
  std::string text;
  if (!options.json) std::printf("%s", options.prompt.c_str());
  HATCHERY_RETURN_IF_ERROR(
      SampleBytes(*replica, options.prompt, options.sampling, [&](uint8_t byte) {
        text += static_cast<char>(byte);
        if (!options.json) std::fwrite(&byte, 1, 1, stdout);
      }));
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
  command->add_option("--bytes", options->sampling.bytes, "Bytes to write")
      ->check(WholeNumber(0, UINT32_MAX));
  command
      ->add_option("--temperature", options->sampling.temperature, "0: always the likeliest byte")
      ->check(Number(0, 1e6));
  command
      ->add_option("--min-p", options->sampling.min_p,
                   "Drop bytes less likely than this fraction of the likeliest")
      ->check(Number(0, 1));
  command
      ->add_option("--presence-penalty", options->sampling.presence_penalty,
                   "Bits taken off every byte that was already written")
      ->check(Number(-1e6, 1e6));
  command->add_option("--seed", options->sampling.seed, "The same seed writes the same text")
      ->check(WholeNumber(0, UINT64_MAX));
  AddBackendOptions(*command, options->backend);
  command->add_flag("--json", options->json, "One JSON object");
  SetAction(command, [options] { return Sample(*options); });
}

}  // namespace hatchery

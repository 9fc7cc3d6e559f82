// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "services/client/command.h"
#include "services/client/model_file.h"

namespace hatchery {
namespace {

struct Options {
  std::string model;
  bool json = false;
};

Status PrintDigest(const Options& options) {
  // Reading a checkpoint computes the digest of its weights and compares it with the claimed one.
  HATCHERY_ASSIGN_OR_RETURN(const ModelFile model, ReadModel(options.model));
  const std::string digest = FormatDigest(model.checkpoint.digest);
  if (options.json) {
    const nlohmann::ordered_json line = {
        {"model", model.path}, {"step", model.checkpoint.step}, {"digest", digest}};
    std::printf("%s\n", line.dump().c_str());
  } else {
    std::printf("%s  step %u  %s\n", digest.c_str(), model.checkpoint.step, model.path.c_str());
  }
  return {};
}

}  // namespace

void AddDigestCommand(CLI::App& app) {
  auto* command = app.add_subcommand("digest", "The fingerprint of a model's weights");
  auto options = std::make_shared<Options>();
  command->add_option("MODEL", options->model, "A run's directory or a checkpoint file")
      ->required();
  command->add_flag("--json", options->json, "One JSON object");
  SetAction(command, [options] { return PrintDigest(*options); });
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "services/client/command.h"
#include "services/client/model_file.h"
#include "services/common/convert.h"
#include "services/common/counted.h"
#include "services/common/dataset.h"

namespace hatchery {
namespace {

struct Options {
  std::string model, data, split = "auto";
  bool json = false;
  BackendOptions backend;
};

// The bytes to score, and what to call them.
struct Part {
  std::span<const uint8_t> bytes;
  std::string name;
};

StatusOr<Part> ChoosePart(const Options& options, const v1::Job& job, const MappedFile& file) {
  const std::span<const uint8_t> all = file.bytes();
  if (options.split == "all") return Part{all, "the whole file"};
  const std::string sha256 = file.Sha256Hex();
  const bool own =
      sha256 == job.held_out().sha256() && job.held_out().end() > job.held_out().begin();
  if (!own && options.split == "auto") return Part{all, "the whole file"};
  if (!own)
    return InvalidArgument(options.data + " is not the file that the model was held out on; use " +
                           "--split all to score the whole of it");
  return Part{all.subspan(job.held_out().begin(), job.held_out().end() - job.held_out().begin()),
              "the held-out split"};
}

Status Eval(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(const ModelFile model, ReadModel(options.model));
  const v1::Job& job = model.checkpoint.job;
  const auto opened = MappedFile::Open(options.data);
  if (!opened.ok())
    return Status(opened.status().code(),
                  "--data: " + opened.status().message() + "; give the path of the file to score");
  const auto& file = *opened;
  HATCHERY_ASSIGN_OR_RETURN(const Part part, ChoosePart(options, job, *file));
  if (part.bytes.size() < 2)
    return InvalidArgument(options.data + " has " + std::to_string(part.bytes.size()) +
                           " bytes to score; give a file of at least two");
  const uint32_t streams =
      static_cast<uint32_t>(std::clamp<uint64_t>(part.bytes.size() / 2, 1, job.held_out_streams()));
  HATCHERY_ASSIGN_OR_RETURN(auto replica,
                            LoadModel(model.checkpoint, options.backend, part.bytes, streams));
  HATCHERY_ASSIGN_OR_RETURN(const HeldOutSums sums, replica->Validate(0, streams, {}));
  if (options.json) {
    const nlohmann::ordered_json line = {{"model", model.path},
                                         {"step", model.checkpoint.step},
                                         {"part", part.name},
                                         {"bytes_scored", sums.tokens},
                                         {"bits_per_byte", BitsPerByte(sums.score, sums.tokens)},
                                         {"coarse_bits_per_byte", CoarseBitsPerByte(sums)},
                                         {"accuracy", Accuracy(sums)}};
    std::printf("%s\n", line.dump().c_str());
    return {};
  }
  std::printf("%s at step %u, on %s of %s (%llu bytes scored in %s)\n", model.path.c_str(),
              model.checkpoint.step, part.name.c_str(), options.data.c_str(),
              static_cast<unsigned long long>(sums.tokens), Counted(streams, "stream").c_str());
  std::printf("  bits/byte, exact               %.4f\n", BitsPerByte(sums.score, sums.tokens));
  std::printf("  bits/byte, reference's scorer  %.4f\n", CoarseBitsPerByte(sums));
  std::printf("  next-byte accuracy             %.2f %%\n", 100 * Accuracy(sums));
  return {};
}

}  // namespace

void AddEvalCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "eval",
      "Measure a model: bits/byte, exact to 1/8192 of a bit a byte and by the reference's "
      "coarse scorer, and next-byte accuracy");
  auto options = std::make_shared<Options>();
  command->add_option("MODEL", options->model, "A run's directory or a checkpoint file")
      ->required();
  command->add_option("--data", options->data, "The file to score")->required();
  command
      ->add_option("--split", options->split,
                   "What of it: held-out, all, or auto (the held-out split of the model's own data "
                   "file, the whole of any other)")
      ->check(CLI::IsMember({"auto", "held-out", "all"}));
  AddBackendOptions(*command, options->backend);
  command->add_flag("--json", options->json, "One JSON object");
  SetAction(command, [options] { return Eval(*options); });
}

}  // namespace hatchery

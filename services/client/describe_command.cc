// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cpu_fallback/cpu_replica.h"
#include "kernels/core/trits.h"
#include "kernels/model.h"
#include "services/client/command.h"
#include "services/client/job_file.h"
#include "services/common/job.h"
#include "services/common/journal_format.h"
#include "services/common/memory.h"

namespace hatchery {
namespace {

struct Options {
  std::string job, data;
  std::vector<std::string> sets;
  bool json = false;
};

// What the job costs, before anything runs.
struct Costs {
  uint64_t replica_bytes, parameters, matrix_parameters = 0;
  CpuMemory cpu_memory;
  uint64_t tokens_per_step;
  double operations_per_token, evaluation_operations, update_operations;
  uint64_t journal_bytes_per_step, journal_bytes;
};

Costs CostsOf(const v1::Job& job, const JobSpec& spec, const Model& model) {
  Costs c;
  c.replica_bytes = model.bytes();
  c.parameters = model.parameters();
  c.cpu_memory = CpuMemoryOf(spec, 0);
  for (const Tensor& t : model.tensors())
    if (t.kind == TensorKind::kMatrix) c.matrix_parameters += t.elements();
  c.tokens_per_step = TokensPerStep(job);
  // A multiplication and an addition a matrix weight; the perturbation adds under 1 % to them.
  c.operations_per_token = 2.0 * static_cast<double>(c.matrix_parameters);
  c.evaluation_operations =
      c.operations_per_token * spec.population * (uint64_t{spec.window} + spec.burn_in);
  c.update_operations = 2.0 * static_cast<double>(c.matrix_parameters) * spec.pairs() * spec.rank;
  CommitRecord record;
  record.commit.fitness.resize(spec.fitness == FitnessRule::kSign ? core::TritBytes(spec.pairs())
                                                                  : spec.pairs());
  c.journal_bytes_per_step = journal_format::kHeadBytes + journal_format::Encode(record).size() +
                             journal_format::kChainBytes;
  c.journal_bytes = c.journal_bytes_per_step * spec.steps;
  return c;
}

std::string Shape(const Tensor& t) {
  return t.rows == 1 ? std::to_string(t.columns)
                     : std::to_string(t.rows) + " x " + std::to_string(t.columns);
}

// "41.2 k", "3.10 G": three digits and more, whatever the size.
std::string Scaled(double value) {
  static constexpr const char* kUnits[] = {"", " k", " M", " G", " T", " P", " E"};
  size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < std::size(kUnits); ++unit) value /= 1e3;
  char text[32];
  std::snprintf(text, sizeof text,
                unit == 0    ? "%.0f%s"
                : value < 10 ? "%.2f%s"
                             : "%.1f%s",
                value, kUnits[unit]);
  return text;
}

void PrintText(const v1::Job& job, const JobSpec& spec, const Model& model, const Costs& c) {
  std::printf("job %s: egg, %u layers x %u, %s noise of rank %u, sigma 2^%d, seed %llu\n",
              job.name().c_str(), spec.layers, spec.hidden,
              spec.noise == core::Noise::kRademacher ? "Rademacher" : "Gaussian", spec.rank,
              4 - static_cast<int>(spec.sigma_shift), static_cast<unsigned long long>(spec.seed));
  std::printf("%-20s %-14s %12s\n", "tensor", "shape", "parameters");
  for (const Tensor& t : model.tensors()) {
    if (t.id > model.layer(0).w2 && t.id < model.norm_out()) continue;  // like layer 0
    std::printf("%-20s %-14s %12llu\n", t.name.c_str(), Shape(t).c_str(),
                static_cast<unsigned long long>(t.elements()));
    if (t.id == model.layer(0).w2 && spec.layers > 1)
      std::printf("%-20s and %u more layers like it\n", "", spec.layers - 1);
  }
  std::printf("%-35s %12llu\n\n", "all tensors", static_cast<unsigned long long>(c.parameters));
  std::printf("replica            %s\n", FormatBytes(c.replica_bytes).c_str());
  std::printf("memory on this CPU %s at most, all threads: weights %s, evaluation %s\n",
              FormatBytes(c.cpu_memory.total()).c_str(), FormatBytes(c.cpu_memory.weights).c_str(),
              FormatBytes(c.cpu_memory.evaluation).c_str());
  std::printf("population         %u members in groups of %u, window %u + %u\n", spec.population,
              spec.group_size, spec.burn_in, spec.window);
  std::printf("tokens             %s a step, %s in %u steps\n",
              Scaled(static_cast<double>(c.tokens_per_step)).c_str(),
              Scaled(static_cast<double>(c.tokens_per_step) * spec.steps).c_str(), spec.steps);
  std::printf("operations         %s a token; a step %s to evaluate, %s to update\n",
              Scaled(c.operations_per_token).c_str(), Scaled(c.evaluation_operations).c_str(),
              Scaled(c.update_operations).c_str());
  std::printf("journal            %llu bytes a step, %s in all\n",
              static_cast<unsigned long long>(c.journal_bytes_per_step),
              FormatBytes(c.journal_bytes).c_str());
  if (job.has_train())
    std::printf("data               %llu bytes to train on, %llu held out in %u stream%s\n",
                static_cast<unsigned long long>(job.train().end() - job.train().begin()),
                static_cast<unsigned long long>(job.held_out().end() - job.held_out().begin()),
                spec.held_out_streams, spec.held_out_streams == 1 ? "" : "s");
}

void PrintJson(const v1::Job& job, const Model& model, const Costs& c) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const Tensor& t : model.tensors())
    tensors.push_back(
        {{"name", t.name}, {"rows", t.rows}, {"columns", t.columns}, {"offset", t.offset}});
  const nlohmann::ordered_json line = {{"name", job.name()},
                                       {"parameters", c.parameters},
                                       {"replica_bytes", c.replica_bytes},
                                       {"cpu_weight_bytes", c.cpu_memory.weights},
                                       {"cpu_evaluation_bytes", c.cpu_memory.evaluation},
                                       {"tokens_per_step", c.tokens_per_step},
                                       {"operations_per_token", c.operations_per_token},
                                       {"evaluation_operations_per_step", c.evaluation_operations},
                                       {"update_operations_per_step", c.update_operations},
                                       {"journal_bytes_per_step", c.journal_bytes_per_step},
                                       {"journal_bytes", c.journal_bytes},
                                       {"tensors", tensors}};
  std::printf("%s\n", line.dump().c_str());
}

Status Describe(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(JobFile file, ReadJobFile(options.job, options.sets));
  v1::Job job = file.job;
  std::error_code ignored;
  const std::string data_path = file.data_path;
  const bool present = !file.data_path.empty() && std::filesystem::exists(file.data_path, ignored);
  if (!options.data.empty() || present) {
    HATCHERY_ASSIGN_OR_RETURN(PreparedJob prepared, PrepareJob(std::move(file), options.data));
    job = std::move(prepared.job);
  }
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  const Model model(spec);
  const Costs costs = CostsOf(job, spec, model);
  if (options.json)
    PrintJson(job, model, costs);
  else
    PrintText(job, spec, model, costs);
  if (!options.json && !job.has_train() && !data_path.empty())
    std::printf("data               %s is not there yet\n", data_path.c_str());
  return {};
}

}  // namespace

void AddDescribeCommand(CLI::App& app) {
  auto* command = app.add_subcommand("describe", "What a job is and costs, before anything runs");
  auto options = std::make_shared<Options>();
  command->add_option("JOB", options->job, "The job file (YAML)")->required();
  command->add_option("--data", options->data,
                      "The data file to check, in place of the job's data.file");
  AddSetOption(*command, options->sets);
  command->add_flag("--json", options->json, "One JSON object");
  SetAction(command, [options] { return Describe(*options); });
}

}  // namespace hatchery

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
#include "services/common/counted.h"
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
  uint64_t replica_bytes, parameters;
  CpuMemory cpu_memory;
  uint64_t tokens_per_step;
  double operations_per_token, evaluation_operations, update_operations;
  // Of a step's commit, what a held-out measure adds to it, and the file when the run has ended,
  // without its events (when it began, went on and how time went; some 100 bytes each).
  uint64_t journal_bytes_per_step, journal_bytes_per_measure, journal_bytes;
};

// Steps whose commits carry a held-out measure.
uint64_t MeasuredSteps(const v1::Job& job) {
  const uint64_t every = job.validate_every();
  return every == 0 ? 0 : (job.steps() + every - 1) / every;
}

void CountJournal(const v1::Job& job, const JobSpec& spec, Costs& c) {
  const bool measured = !job.has_train() || HasHeldOut(job);
  CommitRecord record;
  record.commit.fitness.resize(spec.fitness == FitnessRule::kSign ? core::TritBytes(spec.pairs())
                                                                  : spec.pairs());
  JournalHeader header;
  header.job = job;
  header.software = "hatchery " HATCHERY_VERSION;
  ClosingRecord closing;
  if (measured) closing.held_out.emplace();
  constexpr uint64_t kFrame = journal_format::kHeadBytes + journal_format::kChainBytes;
  const uint64_t plain = journal_format::Encode(record).size();
  record.held_out.emplace();
  c.journal_bytes_per_step = kFrame + plain;
  c.journal_bytes_per_measure = measured ? journal_format::Encode(record).size() - plain : 0;
  c.journal_bytes =
      journal_format::kPreambleBytes + kFrame + journal_format::EncodeHeader(header).size() +
      c.journal_bytes_per_step * spec.steps + c.journal_bytes_per_measure * MeasuredSteps(job) +
      kFrame + journal_format::Encode(closing).size();
}

Costs CostsOf(const v1::Job& job, const JobSpec& spec, const Model& model) {
  Costs c;
  c.replica_bytes = model.bytes();
  c.parameters = model.parameters();
  c.cpu_memory = CpuMemoryOf(spec, 0);
  uint64_t factor_elements = 0;  // of one rank of A and B, all matrices
  for (const Tensor& t : model.tensors())
    if (t.kind == TensorKind::kMatrix) factor_elements += t.rows + t.columns;
  const auto matrix_parameters = static_cast<double>(model.matrix_parameters());
  c.tokens_per_step = TokensPerStep(job);
  // A multiplication and an addition a matrix weight.
  c.operations_per_token = 2.0 * matrix_parameters;
  // And one of each for a member's B . x and A times it.
  const double perturbation = 2.0 * static_cast<double>(factor_elements) * spec.rank;
  c.evaluation_operations = (c.operations_per_token + perturbation) * spec.population *
                            (uint64_t{spec.window} + spec.burn_in);
  // Of a pair, one of each a rank and matrix weight, and for every other parameter.
  const double others = static_cast<double>(c.parameters) - matrix_parameters;
  c.update_operations = 2.0 * (matrix_parameters * spec.rank + others) * spec.pairs();
  CountJournal(job, spec, c);
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
  std::printf(
      "journal            %llu bytes a step, %llu more with a held-out measure; %s in all\n",
      static_cast<unsigned long long>(c.journal_bytes_per_step),
      static_cast<unsigned long long>(c.journal_bytes_per_measure),
      FormatBytes(c.journal_bytes).c_str());
  if (job.has_train())
    std::printf("data               %llu bytes to train on, %llu held out in %s\n",
                static_cast<unsigned long long>(job.train().end() - job.train().begin()),
                static_cast<unsigned long long>(job.held_out().end() - job.held_out().begin()),
                Counted(spec.held_out_streams, "stream").c_str());
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
                                       {"journal_bytes_per_measure", c.journal_bytes_per_measure},
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

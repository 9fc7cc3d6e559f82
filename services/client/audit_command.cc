// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// hatchery audit: a replay proves that the weights follow from the scores; this proves, of a
// sample, that the scores were honest.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>

#include "kernels/core/philox.h"
#include "services/client/command.h"
#include "services/common/convert.h"
#include "services/common/dataset.h"
#include "services/common/job.h"
#include "services/common/replay.h"

namespace hatchery {
namespace {

constexpr uint32_t kBlock =
    60;  // pairs that are drawn and evaluated together; whole bytes of trits

struct Options {
  std::string directory, data, sample = "1%";
  std::optional<uint32_t> seed;
  bool json = false;
  BackendOptions backend;
};

struct Tally {
  uint64_t blocks = 0, wrong = 0;
  uint32_t first_wrong_step = 0;
  Shard first_wrong;
};

StatusOr<double> ParseShare(const std::string& text) {
  size_t used = 0;
  double share = -1;
  try {
    share = std::stod(text, &used);
  } catch (const std::exception&) {
  }
  const bool percent = used < text.size() && text.substr(used) == "%";
  if (percent) share /= 100;
  if ((used != text.size() && !percent) || !(share > 0 && share <= 1))
    return InvalidArgument("--sample takes a share above 0, up to 1 or 100%; not '" + text + "'");
  return share;
}

// Evaluates drawn blocks of each step before its commit is applied.
class Audit {
 public:
  Audit(const Options& options, Replica& replica, double share, uint32_t seed)
      : options_(options), replica_(replica), share_(share), seed_(seed) {}

  Status Step(const CommitRecord& record) {
    const uint32_t pairs = replica_.spec().pairs();
    // A normalized fitness depends on all scores of its step: such a step is drawn as a whole.
    const bool whole = replica_.spec().fitness == FitnessRule::kNormalized;
    const uint32_t size = whole ? pairs : kBlock;
    for (uint32_t begin = 0; begin < pairs; begin += size) {
      const auto draw = core::Philox({record.commit.step, begin, 0, 0}, seed_);
      if (draw.w0 >= share_ * 0x1p32) continue;
      const Shard shard{begin, std::min(begin + size, pairs)};
      HATCHERY_ASSIGN_OR_RETURN(const bool agrees, Agrees(record, shard));
      Count(record.commit.step, shard, agrees);
    }
    return {};
  }
  const Tally& tally() const { return tally_; }

 private:
  StatusOr<bool> Agrees(const CommitRecord& record, Shard shard) {
    const JobSpec& spec = replica_.spec();
    std::vector<int32_t> scores(size_t{2} * shard.pairs());
    HATCHERY_RETURN_IF_ERROR(replica_.Evaluate(shard, {}, scores));
    if (spec.fitness == FitnessRule::kNormalized)
      return MakeNormalizedCommit(spec, record.commit.step, scores) == record.commit;
    const std::vector<uint8_t> trits = EncodeSigns(scores);
    return std::equal(trits.begin(), trits.end(), record.commit.fitness.begin() + shard.begin / 5);
  }

  void Count(uint32_t step, Shard shard, bool agrees) {
    ++tally_.blocks;
    if (!agrees && tally_.wrong++ == 0) {
      tally_.first_wrong_step = step;
      tally_.first_wrong = shard;
    }
    if (!options_.json) return;
    const nlohmann::ordered_json line = {
        {"step", step}, {"begin", shard.begin}, {"end", shard.end}, {"agrees", agrees}};
    std::printf("%s\n", line.dump().c_str());
  }

  const Options& options_;
  Replica& replica_;
  const double share_;
  const uint32_t seed_;
  Tally tally_;
};

StatusOr<Dataset> OpenData(const Options& options, const v1::Job& job) {
  HATCHERY_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(options.data));
  if (file->Sha256Hex() != job.train().sha256())
    return InvalidArgument(options.data + " is not the file that the run was trained on (SHA-256 " +
                           job.train().sha256() + "); give that one with --data");
  v1::Job train_only = job;
  train_only.clear_held_out();
  return Dataset::Open(train_only, file, nullptr);
}

Status RunAudit(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(const double share, ParseShare(options.sample));
  const RunDir run(PosixDisk(), options.directory);
  HATCHERY_ASSIGN_OR_RETURN(auto journal, JournalReader::Open(PosixDisk(), run.journal_path()));
  const v1::Job& job = journal->header().job;
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  HATCHERY_ASSIGN_OR_RETURN(const Dataset data, OpenData(options, job));
  HATCHERY_ASSIGN_OR_RETURN(auto replica, CreateReplica(spec, data.view(), options.backend));
  HATCHERY_RETURN_IF_ERROR(RestoreInitial(PosixDisk(), run, job, *replica));

  const uint32_t seed = options.seed.value_or(std::random_device()());
  Audit audit(options, *replica, share, seed);
  ReplayOptions replay;
  replay.before_commit = [&audit](const CommitRecord& record) { return audit.Step(record); };
  HATCHERY_ASSIGN_OR_RETURN(const ReplayResult result, Replay(*journal, *replica, replay));
  const Tally& tally = audit.tally();
  if (tally.blocks == 0)
    return InvalidArgument("nothing was checked: " + options.sample + " of the shards of " +
                           std::to_string(result.step) +
                           " steps drew none; give a larger share with --sample");
  if (tally.wrong > 0)
    return DataLoss(std::to_string(tally.wrong) + " of " + std::to_string(tally.blocks) +
                    " audited shards are not what the weights score; the first: pairs [" +
                    std::to_string(tally.first_wrong.begin) + ", " +
                    std::to_string(tally.first_wrong.end) + ") of step " +
                    std::to_string(tally.first_wrong_step) +
                    "; a worker was wrong or lied, so train again from before that step");
  if (!options.json)
    std::printf(
        "honest: %llu shards drawn from %u steps (seed %u) score as the journal says, and "
        "its weights follow from them\n",
        static_cast<unsigned long long>(tally.blocks), result.step, seed);
  return {};
}

}  // namespace

void AddAuditCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "audit", "Evaluate a sample of a run's shards again and compare them with its journal");
  auto options = std::make_shared<Options>();
  command->add_option("DIR", options->directory, "Directory of the run")->required();
  command->add_option("--data", options->data, "The file that the run was trained on")->required();
  command->add_option("--sample", options->sample, "Share of the shards, as in 1% or 0.01")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Which ones; at random unless given");
  AddBackendOptions(*command, options->backend);
  command->add_flag("--json", options->json, "One object a shard");
  SetAction(command, [options] { return RunAudit(*options); });
}

}  // namespace hatchery

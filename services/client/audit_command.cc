// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// hatchery audit: a replay proves that the weights follow from the scores; this proves, of a
// sample, that the scores were honest, and the training figures and held-out measures too.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "kernels/core/philox.h"
#include "services/client/command.h"
#include "services/common/convert.h"
#include "services/common/counted.h"
#include "services/common/dataset.h"
#include "services/common/job.h"
#include "services/common/replay.h"

namespace hatchery {
namespace {

constexpr uint32_t kBlock =
    60;  // pairs that are drawn and evaluated together; whole bytes of trits

struct Options {
  std::string directory, data, held_out, sample = "1%";
  std::optional<uint32_t> seed;
  bool json = false;
  BackendOptions backend;
};

struct Tally {
  uint64_t blocks = 0, figures = 0, held_out = 0, wrong = 0;
  std::string first_wrong;
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

// Evaluates drawn blocks of each step before its commit is applied, one step as a whole, and drawn
// held-out measures if their data is at hand.
class Audit {
 public:
  // `steps`: of the journal, at least 1.
  Audit(const Options& options, Replica& replica, double share, uint32_t seed, uint32_t steps,
        bool held_out)
      : options_(options),
        replica_(replica),
        share_(share),
        seed_(seed),
        whole_step_(core::Philox({0, 0, 2, 0}, seed).w0 % steps),
        held_out_(held_out) {}

  Status Step(const CommitRecord& record) {
    const uint32_t pairs = replica_.spec().pairs(), step = record.commit.step;
    // A normalized fitness depends on all scores of its step: such a step is drawn as a whole.
    const bool normalized = replica_.spec().fitness == FitnessRule::kNormalized;
    const uint32_t size = normalized ? pairs : kBlock;
    int64_t score_sum = 0;
    uint32_t evaluated = 0;  // pairs
    for (uint32_t begin = 0; begin < pairs; begin += size) {
      if (step != whole_step_ && !Drawn(step, begin, 0)) continue;
      const Shard shard{begin, std::min(begin + size, pairs)};
      std::vector<int32_t> scores(size_t{2} * shard.pairs());
      HATCHERY_RETURN_IF_ERROR(replica_.Evaluate(shard, {}, scores));
      score_sum = std::accumulate(scores.begin(), scores.end(), score_sum);
      evaluated += shard.pairs();
      ++tally_.blocks;
      Count(step, "pairs", shard, Agrees(record, shard, scores));
    }
    if (evaluated == pairs) {
      ++tally_.figures;
      Count(step, "training figure of pairs", {0, pairs}, score_sum == record.score_sum);
    }
    if (!record.held_out || !Drawn(step, 0, 1)) return {};
    return HeldOut(step, *record.held_out);
  }
  // The measure of the weights that the replica holds, all streams together.
  Status HeldOut(uint32_t step, const HeldOutSums& sums) {
    if (!held_out_) return {};
    const Shard streams{0, replica_.spec().held_out_streams};
    HATCHERY_ASSIGN_OR_RETURN(const HeldOutSums ours, replica_.Validate(0, streams.end, {}));
    ++tally_.held_out;
    Count(step, "held-out streams", streams, ours == sums);
    return {};
  }
  const Tally& tally() const { return tally_; }

 private:
  // Whether the commit's fitness of `shard` is that of its scores.
  bool Agrees(const CommitRecord& record, Shard shard, const std::vector<int32_t>& scores) const {
    const JobSpec& spec = replica_.spec();
    if (spec.fitness == FitnessRule::kNormalized)
      return MakeNormalizedCommit(spec, record.commit.step, scores) == record.commit;
    const std::vector<uint8_t> trits = EncodeSigns(scores);
    return std::equal(trits.begin(), trits.end(), record.commit.fitness.begin() + shard.begin / 5);
  }

  bool Drawn(uint32_t step, uint32_t begin, uint32_t kind) const {
    return core::Philox({step, begin, kind, 0}, seed_).w0 < share_ * 0x1p32;
  }

  void Count(uint32_t step, const std::string& what, Shard shard, bool agrees) {
    if (!agrees && tally_.wrong++ == 0)
      tally_.first_wrong = what + " [" + std::to_string(shard.begin) + ", " +
                           std::to_string(shard.end) + ") of step " + std::to_string(step);
    if (!options_.json) return;
    const nlohmann::ordered_json line = {{"step", step},
                                         {"of", what},
                                         {"begin", shard.begin},
                                         {"end", shard.end},
                                         {"agrees", agrees}};
    std::printf("%s\n", line.dump().c_str());
  }

  const Options& options_;
  Replica& replica_;
  const double share_;
  const uint32_t seed_;
  const uint32_t whole_step_;
  const bool held_out_;
  Tally tally_;
};

struct Data {
  Dataset dataset;
  bool held_out = false;  // whether that of the job, if it has any, is in it
};

StatusOr<Data> OpenData(const Options& options, const v1::Job& job) {
  HATCHERY_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(options.data));
  if (file->Sha256Hex() != job.train().sha256())
    return InvalidArgument(options.data + " is not the file that the run was trained on (SHA-256 " +
                           job.train().sha256() + "); give that one with --data");
  std::shared_ptr<const MappedFile> held_out;
  if (HasHeldOut(job) && job.held_out().sha256() == job.train().sha256()) held_out = file;
  if (!options.held_out.empty()) {
    if (!HasHeldOut(job))
      return InvalidArgument("the run has no held-out data; leave --held-out away");
    HATCHERY_ASSIGN_OR_RETURN(held_out, MappedFile::Open(options.held_out));
    if (held_out->Sha256Hex() != job.held_out().sha256())
      return InvalidArgument(options.held_out + " is not the file of the run's held-out data " +
                             "(SHA-256 " + job.held_out().sha256() +
                             "); give that one with --held-out");
  }
  v1::Job known = job;
  if (held_out == nullptr) known.clear_held_out();
  Data data;
  HATCHERY_ASSIGN_OR_RETURN(data.dataset, Dataset::Open(known, file, held_out));
  data.held_out = held_out != nullptr;
  return data;
}

// What an audit without a part of the data says nothing about must not pass for honest.
void ShowNotAudited(const Options& options, const v1::Job& job) {
  const std::string why = "their data is another file than --data, with SHA-256 " +
                          job.held_out().sha256() + "; give it with --held-out";
  if (options.json) {
    const nlohmann::ordered_json line = {{"not_audited", "held-out measures"}, {"why", why}};
    std::printf("%s\n", line.dump().c_str());
  } else {
    std::printf("held-out measures were not audited: %s\n", why.c_str());
  }
}

// Commits of a journal, or an error if there are none.
StatusOr<uint32_t> CountSteps(const std::string& path) {
  HATCHERY_ASSIGN_OR_RETURN(const auto journal, JournalReader::Open(PosixDisk(), path));
  JournalRecord record;
  for (;;) {
    HATCHERY_ASSIGN_OR_RETURN(const JournalReader::Outcome outcome, journal->Next(record));
    if (outcome != JournalReader::Outcome::kRecord) break;
  }
  if (journal->next_step() == 0)
    return InvalidArgument(path +
                           " has no commits, so there is nothing to audit; audit the run "
                           "when it has made a step");
  return journal->next_step();
}

Status RunAudit(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(const double share, ParseShare(options.sample));
  const RunDir run(PosixDisk(), options.directory);
  HATCHERY_ASSIGN_OR_RETURN(auto journal, JournalReader::Open(PosixDisk(), run.journal_path()));
  HATCHERY_ASSIGN_OR_RETURN(const uint32_t steps, CountSteps(run.journal_path()));
  const v1::Job& job = journal->header().job;
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  HATCHERY_ASSIGN_OR_RETURN(const Data data, OpenData(options, job));
  HATCHERY_ASSIGN_OR_RETURN(auto replica,
                            CreateReplica(spec, data.dataset.view(), options.backend));
  HATCHERY_RETURN_IF_ERROR(RestoreInitial(PosixDisk(), run, job, *replica));

  const uint32_t seed = options.seed.value_or(std::random_device()());
  Audit audit(options, *replica, share, seed, steps, data.held_out);
  ReplayOptions replay;
  replay.before_commit = [&audit](const CommitRecord& record) { return audit.Step(record); };
  HATCHERY_ASSIGN_OR_RETURN(const ReplayResult result, Replay(*journal, *replica, replay));
  if (result.closing && result.closing->held_out)
    HATCHERY_RETURN_IF_ERROR(audit.HeldOut(result.step, *result.closing->held_out));
  if (HasHeldOut(job) && !data.held_out) ShowNotAudited(options, job);
  const Tally& tally = audit.tally();
  if (tally.wrong > 0)
    return DataLoss(std::to_string(tally.wrong) + " of " +
                    std::to_string(tally.blocks + tally.figures + tally.held_out) +
                    " audited shards and measures are not what the weights score; the first: " +
                    tally.first_wrong +
                    "; a worker was wrong or lied, so train again from before that step");
  if (!options.json)
    std::printf(
        "honest: %s, %s and %s drawn from %s (seed %u) score as the journal says, and its weights "
        "follow from them\n",
        Counted(tally.blocks, "shard").c_str(), Counted(tally.figures, "training figure").c_str(),
        Counted(tally.held_out, "held-out measure").c_str(), Counted(result.step, "step").c_str(),
        seed);
  return {};
}

}  // namespace

void AddAuditCommand(CLI::App& app) {
  auto* command = app.add_subcommand("audit",
                                     "Evaluate a sample of a run's shards and held-out measures "
                                     "again, and one whole step with its "
                                     "training figure, and compare them with its journal");
  auto options = std::make_shared<Options>();
  command->add_option("DIR", options->directory, "Directory of the run")->required();
  command->add_option("--data", options->data, "The file that the run was trained on")->required();
  command->add_option("--held-out", options->held_out,
                      "The file of the held-out data, if that is another one");
  command
      ->add_option("--sample", options->sample,
                   "Share of the shards, as in 1% or 0.01; one step is audited as a whole besides")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Which ones; at random unless given");
  AddBackendOptions(*command, options->backend);
  command->add_flag("--json", options->json, "One object a shard");
  SetAction(command, [options] { return RunAudit(*options); });
}

}  // namespace hatchery

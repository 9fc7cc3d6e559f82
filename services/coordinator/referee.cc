// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/referee.h"

#include <vector>

#include "services/common/checkpoint.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/journal_scan.h"
#include "services/common/replay.h"
#include "services/common/sha256.h"
#include "services/coordinator/core_internal.h"

namespace hatchery::coordinator {

Status Referee::Begin(const std::string& job) {
  job_id_.clear();
  replica_.reset();
  const std::string path = store_.Run(job).journal_path();
  HATCHERY_ASSIGN_OR_RETURN(const auto journal, JournalReader::Open(disk_, path));
  job_ = journal->header().job;
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job_));
  // Without its data a job can still be replayed, but no shard evaluated.
  data_ = {};
  if (auto data = store_.files().OpenDataset(job_); data.ok()) data_ = std::move(*data);
  HATCHERY_ASSIGN_OR_RETURN(replica_, CreateReplica(spec, data_.view(), backend_));
  job_id_ = job;
  return {};
}

Status Referee::Advance(uint32_t step, const std::stop_token& stop) {
  ReplayOptions options;
  options.until_step = step;
  options.stop = stop;
  const std::string path = store_.Run(job_id_).journal_path();
  HATCHERY_ASSIGN_OR_RETURN(const auto journal, JournalReader::Open(disk_, path));
  return Replay(*journal, *replica_, options).status();
}

Status Referee::Reach(const std::string& job, uint32_t step, const std::stop_token& stop) {
  const RunDir run = store_.Run(job);
  bool from_nothing = false;
  if (job_id_ != job || replica_->step() > step) {
    HATCHERY_RETURN_IF_ERROR(Begin(job));
    HATCHERY_ASSIGN_OR_RETURN(const JournalScan scan, ScanJournal(disk_, run.journal_path()));
    const auto agrees = [&scan](const Checkpoint& checkpoint) -> Status {
      const auto digest = scan.DigestAt(checkpoint.step);
      return !digest || *digest == checkpoint.digest ? Status() : DataLoss("of other weights");
    };
    HATCHERY_ASSIGN_OR_RETURN(const auto stored, run.NewestSound(step, agrees));
    from_nothing = !stored;
    if (stored)
      HATCHERY_RETURN_IF_ERROR(
          replica_->Restore(stored->checkpoint.step, stored->checkpoint.weights));
  }
  if (!from_nothing) {
    const Status reached = Advance(step, stop);
    // A digest that differs: the journal's fault, or our starting point's?
    if (reached.code() != StatusCode::kDataLoss) return reached;
  }
  HATCHERY_RETURN_IF_ERROR(RestoreInitial(disk_, run, job_, *replica_));
  return Advance(step, stop);
}

StatusOr<Finding> Referee::Judge(const AskReferee& question, std::stop_token stop) {
  if (Status reached = Reach(question.job, question.step, stop); !reached.ok()) {
    job_id_.clear();
    return reached;
  }
  Finding finding;
  HATCHERY_ASSIGN_OR_RETURN(const auto weights, replica_->Snapshot());
  finding.digest = DigestToBytes(DigestOfBytes(weights, 0));
  const Sha256Hash hash = Sha256Of(EncodeCheckpoint(job_, question.step, weights));
  finding.checkpoint_sha256.assign(hash.begin(), hash.end());
  if (question.range) {
    HATCHERY_ASSIGN_OR_RETURN(finding.part, Evaluate(*question.range, std::move(stop)));
  }
  return finding;
}

StatusOr<Part> Referee::Evaluate(const Range& range, std::stop_token stop) {
  const Shard shard = range.shard;
  if (range.held_out) {
    HATCHERY_ASSIGN_OR_RETURN(const HeldOutSums sums,
                              replica_->Validate(shard.begin, shard.end, std::move(stop)));
    return PartOf(shard.end, sums);
  }
  std::vector<int32_t> scores(size_t{2} * shard.pairs());
  HATCHERY_RETURN_IF_ERROR(replica_->Evaluate(shard, std::move(stop), scores));
  return PartOf(ScoresToProto(replica_->spec(), shard, scores), replica_->spec().fitness);
}

}  // namespace hatchery::coordinator

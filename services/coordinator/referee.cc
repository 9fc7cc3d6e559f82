// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/referee.h"

#include <vector>

#include "services/common/checkpoint.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/replay.h"
#include "services/common/sha256.h"
#include "services/coordinator/core_internal.h"

namespace hatchery::coordinator {

Status Referee::Open(const std::string& job, const JournalReader& journal, uint32_t step,
                     bool from_checkpoint) {
  job_id_.clear();
  replica_.reset();
  job_ = journal.header().job;
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job_));
  // Without its data a job can still be replayed, but no shard evaluated.
  data_ = {};
  if (auto data = store_.files().OpenDataset(job_); data.ok()) data_ = std::move(*data);
  HATCHERY_ASSIGN_OR_RETURN(replica_, CreateReplica(spec, data_.view(), backend_));
  const RunDir run = store_.Run(job);
  HATCHERY_RETURN_IF_ERROR(RestoreInitial(disk_, run, job_, *replica_));
  if (from_checkpoint) {
    HATCHERY_ASSIGN_OR_RETURN(const auto stored, run.NewestSound(step));
    if (stored) {
      HATCHERY_ASSIGN_OR_RETURN(const auto checkpoint, DecodeCheckpoint(stored->bytes, run.path()));
      HATCHERY_RETURN_IF_ERROR(replica_->Restore(checkpoint.step, checkpoint.weights));
    }
  }
  job_id_ = job;
  return {};
}

Status Referee::ReplayTo(const std::string& job, uint32_t step, const std::stop_token& stop) {
  ReplayOptions options;
  options.until_step = step;
  options.on_digest = [&stop](uint32_t, core::Digest) {
    return stop.stop_requested() ? Cancelled("the coordinator is shutting down") : Status();
  };
  HATCHERY_ASSIGN_OR_RETURN(auto journal, JournalReader::Open(disk_, store_.Run(job).journal_path()));
  return Replay(*journal, *replica_, options).status();
}

StatusOr<Finding> Referee::Judge(const AskReferee& question, std::stop_token stop) {
  HATCHERY_ASSIGN_OR_RETURN(
      const auto journal, JournalReader::Open(disk_, store_.Run(question.job).journal_path()));
  const bool held = job_id_ == question.job && replica_->step() <= question.step;
  Status replayed;
  if (!held)
    HATCHERY_RETURN_IF_ERROR(Open(question.job, *journal, question.step, true));
  replayed = ReplayTo(question.job, question.step, stop);
  if (replayed.code() == StatusCode::kDataLoss) {  // the journal's fault, or our starting point's?
    HATCHERY_RETURN_IF_ERROR(Open(question.job, *journal, question.step, false));
    replayed = ReplayTo(question.job, question.step, stop);
  }
  if (!replayed.ok()) {
    job_id_.clear();
    return replayed;
  }
  Finding finding;
  HATCHERY_ASSIGN_OR_RETURN(const auto weights, replica_->Snapshot());
  finding.digest = DigestToBytes(DigestOfBytes(weights, 0));
  const Sha256Hash hash = Sha256Of(EncodeCheckpoint(job_, question.step, weights));
  finding.checkpoint_sha256.assign(hash.begin(), hash.end());
  if (question.shard) {
    std::vector<int32_t> scores(size_t{2} * question.shard->pairs());
    HATCHERY_RETURN_IF_ERROR(replica_->Evaluate(*question.shard, std::move(stop), scores));
    finding.part = PartOf(ScoresToProto(replica_->spec(), *question.shard, scores),
                          replica_->spec().fitness);
  }
  return finding;
}

}  // namespace hatchery::coordinator

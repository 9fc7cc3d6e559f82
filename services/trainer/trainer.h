// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The one-process trainer: the same replica, commits and journal as a coordinator with workers, so
// the same final digest.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "hatchery/v1/job.pb.h"
#include "kernels/replica.h"
#include "kernels/status.h"
#include "services/common/checkpoint.h"
#include "services/common/disk.h"
#include "services/common/journal.h"
#include "services/common/run_dir.h"

namespace hatchery {

// After one step.
struct StepReport {
  uint32_t step = 0;                    // commits so far
  double train_bits_per_byte = 0;       // mean over the perturbed population, at step - 1
  std::optional<HeldOutSums> held_out;  // of the weights at `step`, where measured
  double tokens_per_second = 0;
  double alpha = 0;                   // fraction of weights that pure noise would move
  std::optional<double> update_rate;  // fraction of weights that moved, if asked for
  double fitness_nonzero = 0;         // fraction of pairs
  core::Digest digest;                // of the replica at `step`
};

struct TrainerOptions {
  bool measure_update_rate = false;                 // costs two snapshots a step
  std::function<void(const StepReport&)> on_step;   // may be empty
  std::function<void(const std::string&)> on_note;  // one line for people; may be empty
};

class Trainer {
 public:
  // Creates the run in `directory`, or goes on with the one that is there, which must be of the
  // same job (the name and the service fields aside). `replica` is fresh, of the job's spec, with
  // its data; it and `disk` must outlive the trainer. If the job starts from given weights, the
  // directory holds them already (RunDir::initial_path). Holds the directory's lock while it lives.
  // kCancelled if `stop` was requested while it caught up with the journal.
  static StatusOr<std::unique_ptr<Trainer>> Open(Disk& disk, const std::string& directory,
                                                 const v1::Job& job, Replica& replica,
                                                 TrainerOptions options, std::stop_token stop = {});

  // Trains to the last step and closes the journal; of a run that is finished it rebuilds the final
  // checkpoint if that is missing or damaged. kCancelled if `stop` was requested first: the
  // run is then as it was after its last whole step, and can be opened again.
  Status Run(std::stop_token stop);

  uint32_t step() const { return replica_->step(); }
  bool closed() const { return journal_->closed(); }

 private:
  Trainer(Disk& disk, const std::string& directory, const v1::Job& job, Replica& replica,
          TrainerOptions options)
      : disk_(&disk),
        run_(disk, directory),
        job_(job),
        replica_(&replica),
        options_(std::move(options)) {}
  Status Start(std::stop_token stop);
  Status Create();
  Status Resume(std::stop_token stop);
  Status CatchUp(uint32_t step, std::stop_token stop);
  Status CheckUsable(const Checkpoint& checkpoint) const;
  Status Finished();
  Status RunToTheEnd(std::stop_token stop);
  Status Step(std::stop_token stop);
  Status MarkTime();
  StatusOr<CommitRecord> Evaluate(std::stop_token stop);
  StatusOr<std::optional<HeldOutSums>> Measure(std::stop_token stop);
  Status StoreCheckpointIfDue();
  void Note(const std::string& text) const;

  Disk* disk_;
  RunDir run_;
  v1::Job job_;
  Replica* replica_;
  TrainerOptions options_;
  std::unique_ptr<DirectoryLock> lock_;
  std::unique_ptr<JournalWriter> journal_;
  std::optional<ClosingRecord> closing_;                    // of a run that was finished before
  bool final_stored_ = false;                               // and its final checkpoint is sound
  core::Digest digest_;                                     // of the replica now
  std::optional<HeldOutSums> held_out_;                     // of the replica now, where it is due
  std::chrono::steady_clock::time_point started_, marked_;  // Run; the newest note of the time
};

}  // namespace hatchery

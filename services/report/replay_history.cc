// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/report/replay_history.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <set>

#include "services/common/job.h"
#include "services/common/replay.h"

namespace hatchery::report {
namespace {

// Takes measures of a replica on its way through the steps.
class Observer {
 public:
  Observer(Replica& replica, uint32_t last, const ReplayHistoryOptions& options)
      : replica_(&replica), last_(last), options_(&options) {
    result_.layers = LayersOf(replica.model());
    every_ = options.most_measured == 0 ? 1 : last / options.most_measured + 1;
    for (uint32_t i = 0; i < options.samples; ++i)
      sampled_.insert(SampleStep(i, options.samples, last));
  }

  Status KeepInitial() {
    HATCHERY_ASSIGN_OR_RETURN(initial_, replica_->Snapshot());
    return {};
  }

  // Of the replica's step, before its commit or at the end.
  Status Observe() {
    const uint32_t step = replica_->step();
    if (sampled_.contains(step)) HATCHERY_RETURN_IF_ERROR(TakeSample());
    if (step % every_ != 0 && step != last_ && !measuring_) return {};
    HATCHERY_ASSIGN_OR_RETURN(auto weights, replica_->Snapshot());
    if (measuring_) FinishStep(weights);
    if (step % every_ == 0 || step == last_) BeginStep(step, weights);
    before_ = std::move(weights);
    return {};
  }

  Status Summarize() {
    const std::span<const int8_t> weights = before_;
    for (const ModelPart& part : TensorsOf(replica_->model())) {
      TensorSummary summary{replica_->model().tensor(static_cast<uint32_t>(result_.tensors.size())),
                            Saturation(part, weights), ShareChanged(part, initial_, weights)};
      const auto bytes = weights.subspan(part.begin, part.end - part.begin);
      const auto sum = std::accumulate(bytes.begin(), bytes.end(), int64_t{0},
                                       [](int64_t s, int8_t w) { return s + std::abs(w); });
      summary.mean_magnitude = static_cast<double>(sum) / static_cast<double>(part.parameters);
      result_.tensors.push_back(std::move(summary));
    }
    return {};
  }

  ReplayHistory& result() { return result_; }

 private:
  Status TakeSample() {
    std::string text;
    HATCHERY_RETURN_IF_ERROR(SampleBytes(*replica_, options_->prompt, options_->sampling,
                                         [&](uint8_t byte) { text += static_cast<char>(byte); }));
    result_.samples.push_back({replica_->step(), std::move(text)});
    return {};
  }

  void BeginStep(uint32_t step, std::span<const int8_t> weights) {
    MeasuredStep measured{step, {}, {}, 0};
    for (const ModelPart& layer : result_.layers)
      measured.saturation.push_back(Saturation(layer, weights));
    result_.steps.push_back(std::move(measured));
    measuring_ = step != last_;
  }

  // `after` are the weights one commit later.
  void FinishStep(std::span<const int8_t> after) {
    MeasuredStep& measured = result_.steps.back();
    for (const ModelPart& layer : result_.layers)
      measured.update_rate.push_back(ShareChanged(layer, before_, after));
    measured.update_rate_of_all = static_cast<double>(CountChanged(before_, after)) /
                                  static_cast<double>(replica_->model().parameters());
    measuring_ = false;
  }

  Replica* replica_;
  const uint32_t last_;
  const ReplayHistoryOptions* options_;
  uint32_t every_ = 1;
  std::set<uint32_t> sampled_;
  std::vector<int8_t> initial_, before_;
  bool measuring_ = false;  // result_.steps.back() lacks what comes with the next commit
  ReplayHistory result_;
};

}  // namespace

uint32_t SampleStep(uint32_t i, uint32_t samples, uint32_t last) {
  return samples == 1 ? last : static_cast<uint32_t>(uint64_t{i} * last / (samples - 1));
}

StatusOr<ReplayHistory> ReplayRun(Disk& disk, const RunDir& run, const RunHistory& history,
                                  const ReplayHistoryOptions& options) {
  const v1::Job& job = history.header.job;
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(job));
  HATCHERY_ASSIGN_OR_RETURN(auto replica, CreateReplica(spec, {}, options.backend));
  HATCHERY_RETURN_IF_ERROR(RestoreInitial(disk, run, job, *replica));
  HATCHERY_ASSIGN_OR_RETURN(auto journal, JournalReader::Open(disk, run.journal_path()));

  Observer observer(*replica, history.step(), options);
  HATCHERY_RETURN_IF_ERROR(observer.KeepInitial());
  ReplayOptions replay;
  replay.until_step = history.closing ? UINT32_MAX : history.step();
  replay.stop = options.stop;
  replay.before_commit = [&](const CommitRecord& record) {
    if (options.on_step) options.on_step(record.commit.step);
    return observer.Observe();
  };
  HATCHERY_ASSIGN_OR_RETURN(const ReplayResult result, Replay(*journal, *replica, replay));
  HATCHERY_RETURN_IF_ERROR(observer.Observe());
  HATCHERY_RETURN_IF_ERROR(observer.Summarize());
  observer.result().digest = result.digest;
  observer.result().digests_compared = result.compared;
  return std::move(observer.result());
}

}  // namespace hatchery::report

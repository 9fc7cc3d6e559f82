// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/known_answer.h"

#include <memory>
#include <span>
#include <vector>

#include "services/common/job.h"

namespace hatchery {
namespace {

StatusOr<std::span<const uint8_t>> TrainingBytes(const v1::DataSplit& split,
                                                 std::string_view data) {
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(data.data()), data.size());
  if (split.begin() >= split.end()) return bytes;
  if (split.end() > bytes.size()) return InvalidArgument("its training range exceeds its data");
  return bytes.subspan(split.begin(), split.end() - split.begin());
}

}  // namespace

StatusOr<core::Digest> TrainKnownAnswer(const v1::Job& task, std::string_view data,
                                        const ReplicaFactory& create, std::stop_token stop) {
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(task));
  HATCHERY_ASSIGN_OR_RETURN(const std::span<const uint8_t> train,
                            TrainingBytes(task.train(), data));
  HATCHERY_ASSIGN_OR_RETURN(const std::unique_ptr<Replica> replica, create(spec, {train, {}}));
  std::vector<int32_t> scores(spec.population);
  while (replica->step() < spec.steps) {
    HATCHERY_RETURN_IF_ERROR(replica->Evaluate({0, spec.pairs()}, stop, scores));
    HATCHERY_RETURN_IF_ERROR(replica->Apply(MakeCommit(spec, replica->step(), scores)));
  }
  return replica->DigestOfAll();
}

}  // namespace hatchery

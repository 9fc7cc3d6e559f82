// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Members that threads of this process drive: several GPUs, one process.
#include <utility>

#include "kernels/gang.h"
#include "kernels/work_thread.h"

namespace hatchery {
namespace {

class LocalMembers : public GangMembers {
 public:
  explicit LocalMembers(size_t size) : replicas_(size), threads_(size) {}
  // Each replica goes on its own thread, as it came.
  ~LocalMembers() override {
    OnEach([this](uint32_t member) { replicas_[member].reset(); });
  }

  Status Make(const std::vector<MakeMember>& makers);

  uint32_t size() const override { return static_cast<uint32_t>(replicas_.size()); }
  Replica& first() override { return *replicas_[0]; }
  std::string Name(uint32_t member) const override {
    return "member " + std::to_string(member) + ", " + replicas_[member]->Description() + ",";
  }
  std::string Description() const override;
  std::vector<GangOutcome> Do(const GangTask& task, std::stop_token stop,
                              std::span<int32_t> scores) override;

 private:
  template <typename Work>  // void(uint32_t member)
  void OnEach(Work work) {
    for (uint32_t member = 0; member < size(); ++member)
      threads_[member].Start([work, member] { work(member); });
    for (WorkThread& thread : threads_) thread.Wait();
  }

  std::vector<std::unique_ptr<Replica>> replicas_;
  std::vector<WorkThread> threads_;
};

Status LocalMembers::Make(const std::vector<MakeMember>& makers) {
  std::vector<Status> outcomes(size());
  OnEach([&](uint32_t member) {
    auto made = makers[member]();
    if (made.ok())
      replicas_[member] = std::move(*made);
    else
      outcomes[member] = made.status();
  });
  for (const Status& outcome : outcomes) HATCHERY_RETURN_IF_ERROR(outcome);
  return {};
}

std::string LocalMembers::Description() const {
  std::vector<std::string> descriptions;
  for (const auto& replica : replicas_) descriptions.push_back(replica->Description());
  return JoinDescriptions(descriptions);
}

std::vector<GangOutcome> LocalMembers::Do(const GangTask& task, std::stop_token stop,
                                          std::span<int32_t> scores) {
  // One that fails stops the others: what they would still find is of no use.
  std::stop_source together;
  const std::stop_callback forward(stop, [&together] { together.request_stop(); });
  std::vector<GangOutcome> outcomes(size());
  OnEach([&](uint32_t member) {
    std::span<int32_t> own;
    if (task.op == GangOp::kEvaluate) {
      const GangPart part = PartOf(task.begin, task.end, member, size());
      own = scores.subspan(2 * (part.begin - task.begin), 2 * size_t{part.size()});
    }
    outcomes[member] = DoShare(*replicas_[member], task, member, size(), together.get_token(), own);
    if (!outcomes[member].status.ok()) together.request_stop();
  });
  return outcomes;
}

}  // namespace

StatusOr<std::unique_ptr<Replica>> CreateGang(const std::vector<MakeMember>& makers) {
  auto members = std::make_unique<LocalMembers>(makers.size());
  HATCHERY_RETURN_IF_ERROR(members->Make(makers));
  return GangOf(std::move(members));
}

StatusOr<std::unique_ptr<Replica>> CreateGang(
    const std::vector<int>& devices,
    const std::function<StatusOr<std::unique_ptr<Replica>>(int device)>& make) {
  if (devices.size() == 1) return make(devices[0]);
  std::vector<MakeMember> makers;
  for (const int device : devices) makers.push_back([&make, device] { return make(device); });
  return CreateGang(makers);
}

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/run_dir.h"

#include <algorithm>
namespace hatchery {
namespace {

constexpr std::string_view kPrefix = "step-", kSuffix = ".safetensors";
constexpr size_t kDigits = 10;

// The step of a checkpoint's file name, if it is one.
std::optional<uint32_t> StepOf(std::string_view name) {
  if (name.size() != kPrefix.size() + kDigits + kSuffix.size()) return std::nullopt;
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  uint64_t step = 0;
  for (char c : name.substr(kPrefix.size(), kDigits)) {
    if (c < '0' || c > '9') return std::nullopt;
    step = step * 10 + static_cast<uint64_t>(c - '0');
  }
  if (step > UINT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(step);
}

}  // namespace

std::string RunDir::checkpoint_path(uint32_t step) const {
  std::string digits = std::to_string(step);
  digits.insert(0, kDigits - digits.size(), '0');
  return checkpoints_path() + "/" + std::string(kPrefix) + digits + std::string(kSuffix);
}

Status RunDir::Create() const { return disk_->CreateDirectory(checkpoints_path()); }

StatusOr<std::vector<uint32_t>> RunDir::Checkpoints() const {
  std::vector<uint32_t> steps;
  if (!disk_->Exists(checkpoints_path())) return steps;
  HATCHERY_ASSIGN_OR_RETURN(const auto names, disk_->List(checkpoints_path()));
  for (const std::string& name : names)
    if (const auto step = StepOf(name)) steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

StatusOr<std::optional<uint32_t>> RunDir::NewestCheckpoint(uint32_t step) const {
  HATCHERY_ASSIGN_OR_RETURN(const auto steps, Checkpoints());
  const auto after = std::upper_bound(steps.begin(), steps.end(), step);
  if (after == steps.begin()) return std::optional<uint32_t>();
  return std::optional<uint32_t>(*(after - 1));
}

StatusOr<RunDir::Stored> RunDir::Read(uint32_t step) const {
  const std::string path = checkpoint_path(step);
  Stored stored;
  HATCHERY_ASSIGN_OR_RETURN(stored.bytes, ReadWholeFile(*disk_, path));
  HATCHERY_ASSIGN_OR_RETURN(stored.checkpoint, DecodeCheckpoint(stored.bytes, path));
  if (stored.checkpoint.step != step)
    return DataLoss(path + " holds the weights of step " + std::to_string(stored.checkpoint.step));
  return stored;
}

StatusOr<std::optional<RunDir::Stored>> RunDir::NewestSound(uint32_t step, const Usable& usable,
                                                            const Skipped& skipped) const {
  HATCHERY_ASSIGN_OR_RETURN(const auto steps, Checkpoints());
  for (auto at = steps.rbegin(); at != steps.rend(); ++at) {
    if (*at > step) continue;
    auto stored = Read(*at);
    Status sound = stored.status();
    if (sound.ok() && usable) sound = usable(stored->checkpoint);
    if (sound.ok()) return std::optional<Stored>(std::move(*stored));
    if (skipped) skipped(checkpoint_path(*at), sound);
  }
  return std::optional<Stored>();
}

Status RunDir::StoreCheckpoint(uint32_t step, std::string_view bytes, uint32_t keep) const {
  // Somebody may have taken the directory away, to make room.
  if (!disk_->Exists(checkpoints_path())) HATCHERY_RETURN_IF_ERROR(Create());
  HATCHERY_RETURN_IF_ERROR(disk_->WriteAtomically(checkpoint_path(step), bytes));
  HATCHERY_ASSIGN_OR_RETURN(const auto steps, Checkpoints());
  for (size_t i = 0; i + keep < steps.size(); ++i)
    if (steps[i] != step) HATCHERY_RETURN_IF_ERROR(disk_->Remove(checkpoint_path(steps[i])));
  return {};
}

}  // namespace hatchery

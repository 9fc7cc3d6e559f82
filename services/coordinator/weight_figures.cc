// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/weight_figures.h"

#include "kernels/model.h"
#include "kernels/weight_statistics.h"
#include "services/common/job.h"

namespace hatchery::coordinator {

StatusOr<WeightFigures> FiguresOf(const Checkpoint& checkpoint, const Checkpoint* before) {
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecFromJob(checkpoint.job));
  const Model model(spec);
  const bool comparable = before != nullptr && before->weights.size() == checkpoint.weights.size();
  WeightFigures figures;
  figures.step = checkpoint.step;
  if (comparable) figures.steps_since = checkpoint.step - before->step;
  for (const ModelPart& part : LayersOf(model)) {
    if (figures.parts.size() == kMostParts) break;
    auto& shown = figures.parts.emplace_back();
    shown.name = part.name;
    shown.saturated = Saturation(part, checkpoint.weights);
    if (comparable) shown.replaced = ShareChanged(part, before->weights, checkpoint.weights);
  }
  return figures;
}

}  // namespace hatchery::coordinator

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/weight_statistics.h"

#include <algorithm>

namespace hatchery {
namespace {

// Tensors [first, last], which lie side by side.
ModelPart PartOf(const Model& model, std::string name, uint32_t first, uint32_t last) {
  ModelPart part{std::move(name), model.tensor(first).offset, 0, 0};
  part.end = last + 1 < model.tensors().size() ? model.tensor(last + 1).offset : model.bytes();
  for (uint32_t id = first; id <= last; ++id) part.parameters += model.tensor(id).elements();
  return part;
}

double Share(uint64_t count, const ModelPart& part) {
  return static_cast<double>(count) / static_cast<double>(part.parameters);
}

template <typename T>
std::span<T> BytesOf(const ModelPart& part, std::span<T> replica) {
  return replica.subspan(part.begin, part.end - part.begin);
}

}  // namespace

std::vector<ModelPart> LayersOf(const Model& model) {
  std::vector<ModelPart> parts;
  const uint32_t embedding = model.embedding().id;
  parts.push_back(PartOf(model, model.embedding().name, embedding, embedding));
  // Layers lie between the embedding and the last norm, all alike.
  const uint32_t tensors = model.layer(0).w2 - model.layer(0).norm1 + 1;
  for (uint32_t first = model.layer(0).norm1; first < model.norm_out(); first += tensors)
    parts.push_back(
        PartOf(model, "layers." + std::to_string(parts.size() - 1), first, first + tensors - 1));
  parts.push_back(PartOf(model, model.tensor(model.head()).name, model.norm_out(), model.head()));
  return parts;
}

std::vector<ModelPart> TensorsOf(const Model& model) {
  std::vector<ModelPart> parts;
  for (const Tensor& tensor : model.tensors())
    parts.push_back(PartOf(model, tensor.name, tensor.id, tensor.id));
  return parts;
}

uint64_t CountSaturated(std::span<const int8_t> weights) {
  return static_cast<uint64_t>(std::count_if(weights.begin(), weights.end(),
                                             [](int8_t w) { return w == 127 || w == -127; }));
}

uint64_t CountChanged(std::span<const int8_t> before, std::span<const int8_t> after) {
  uint64_t changed = 0;
  for (size_t i = 0; i < before.size(); ++i) changed += before[i] != after[i];
  return changed;
}

double Saturation(const ModelPart& part, std::span<const int8_t> weights) {
  return Share(CountSaturated(BytesOf(part, weights)), part);
}

double ShareChanged(const ModelPart& part, std::span<const int8_t> before,
                    std::span<const int8_t> after) {
  return Share(CountChanged(BytesOf(part, before), BytesOf(part, after)), part);
}

}  // namespace hatchery

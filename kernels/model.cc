// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/model.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/core/egg.h"
#include "kernels/core/noise.h"

namespace hatchery {

static_assert(std::endian::native == std::endian::little,
              "replicas, journals and digests are little-endian");

Model::Model(const JobSpec& spec) {
  const uint32_t d = spec.hidden;
  Add("embedding", TensorKind::kEmbedding, core::kVocabulary, d);
  for (uint32_t l = 0; l < spec.layers; ++l) {
    const std::string layer = "layers." + std::to_string(l) + ".";
    LayerTensors t{};
    t.norm1 = Add(layer + "norm1", TensorKind::kGain, 1, d);
    t.wf = Add(layer + "wf", TensorKind::kMatrix, d, d);
    t.uf = Add(layer + "uf", TensorKind::kMatrix, d, d);
    t.bf = Add(layer + "bf", TensorKind::kBias, 1, d);
    t.wh = Add(layer + "wh", TensorKind::kMatrix, d, d);
    t.uh = Add(layer + "uh", TensorKind::kMatrix, d, d);
    t.bh = Add(layer + "bh", TensorKind::kBias, 1, d);
    t.norm2 = Add(layer + "norm2", TensorKind::kGain, 1, d);
    t.w1 = Add(layer + "w1", TensorKind::kMatrix, core::kMlpExpansion * d, d);
    t.w2 = Add(layer + "w2", TensorKind::kMatrix, d, core::kMlpExpansion * d);
    layers_.push_back(t);
  }
  norm_out_ = Add("norm_out", TensorKind::kGain, 1, d);
  head_ = Add("head", TensorKind::kMatrix, core::kVocabulary, d);
}

uint32_t Model::Add(std::string name, TensorKind kind, uint32_t rows, uint32_t columns) {
  const uint32_t id = static_cast<uint32_t>(tensors_.size());
  tensors_.push_back(Tensor{std::move(name), kind, id, rows, columns, bytes_});
  const uint64_t elements = tensors_.back().elements();
  parameters_ += elements;
  if (kind == TensorKind::kMatrix) matrix_parameters_ += elements;
  bytes_ += (elements + 7) / 8 * 8;
  return id;
}

namespace {
constexpr uint32_t kInitElements = core::ElementsPerBlock(core::Noise::kGaussian);
}

std::vector<int8_t> InitialWeights(const Model& model, uint64_t seed) {
  std::vector<int8_t> weights(model.bytes(), 0);
  for (const Tensor& tensor : model.tensors()) {
    int8_t* out = weights.data() + tensor.offset;
    const uint64_t elements = tensor.elements();
    if (tensor.kind == TensorKind::kBias) continue;
    if (tensor.kind == TensorKind::kGain) {
      std::memset(out, 16, elements);
      continue;
    }
    for (uint64_t e = 0; e < elements; e += kInitElements) {
      const auto block = core::InitBlock(seed, tensor.id, static_cast<uint32_t>(e / kInitElements));
      const uint64_t count = std::min<uint64_t>(kInitElements, elements - e);
      for (uint32_t i = 0; i < count; ++i)
        out[e + i] = static_cast<int8_t>(core::GaussianValue(block, i));
    }
  }
  return weights;
}

core::Digest DigestOfBytes(std::span<const int8_t> bytes, uint64_t offset) {
  core::Digest digest;
  for (uint64_t i = 0; i + 8 <= bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    digest += core::DigestOfWord((offset + i) / 8, word);
  }
  return digest;
}

std::string FormatDigest(core::Digest digest) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (uint64_t lane : {digest.lane0, digest.lane1})
    for (int shift = 60; shift >= 0; shift -= 4) text += kHex[lane >> shift & 15];
  return text;
}

StatusOr<core::Digest> ParseDigest(const std::string& hex) {
  const Status error = InvalidArgument("digest '" + hex + "' is not 32 lower-case hex digits");
  if (hex.size() != 32) return error;
  uint64_t lanes[2] = {0, 0};
  for (size_t i = 0; i < 32; ++i) {
    const char c = hex[i];
    const bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';
    if (!digit && !letter) return error;
    lanes[i / 16] = lanes[i / 16] << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return core::Digest{lanes[0], lanes[1]};
}

}  // namespace hatchery

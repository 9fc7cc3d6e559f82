// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The tensors of a model and where they lie in a replica (docs/contract.md, section 5).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/digest.h"
#include "kernels/job_spec.h"

namespace hatchery {

enum class TensorKind : uint8_t {
  kMatrix,     // rows = outputs, columns = inputs; low-rank perturbation A B^T
  kEmbedding,  // a row a token; perturbed an element at a time
  kGain,       // one row; norm gain, 16 at the start; perturbed an element at a time
  kBias,       // one row; 0 at the start; perturbed an element at a time
};

struct Tensor {
  std::string name;  // as in safetensors files: "layers.0.wf"
  TensorKind kind;
  uint32_t id;       // place in the contract's tensor order; the counter's tensor field
  uint32_t rows;     // 1 for gains and biases
  uint32_t columns;  // innermost: element (row, column) is at row * columns + column
  uint64_t offset;   // first byte within the replica, a multiple of 8

  uint64_t elements() const { return uint64_t{rows} * columns; }
};

// Tensors of one layer, as indices into Model::tensors.
struct LayerTensors {
  uint32_t norm1, wf, uf, bf, wh, uh, bh, norm2, w1, w2;
};

// The layout of a replica: all tensors, int8, in contract order, each padded with zeros to a
// multiple of 8 bytes. Immutable.
class Model {
 public:
  explicit Model(const JobSpec& spec);

  std::span<const Tensor> tensors() const { return tensors_; }
  const Tensor& tensor(uint32_t id) const { return tensors_[id]; }
  const Tensor& embedding() const { return tensors_[0]; }
  const LayerTensors& layer(uint32_t l) const { return layers_[l]; }
  uint32_t norm_out() const { return norm_out_; }
  uint32_t head() const { return head_; }

  uint64_t bytes() const { return bytes_; }            // of a replica, padding included
  uint64_t parameters() const { return parameters_; }  // weights, padding excluded
  // Of these, the matrices': as many multiplications and additions are a token's products.
  uint64_t matrix_parameters() const { return matrix_parameters_; }

 private:
  uint32_t Add(std::string name, TensorKind kind, uint32_t rows, uint32_t columns);

  std::vector<Tensor> tensors_;
  std::vector<LayerTensors> layers_;
  uint32_t norm_out_ = 0;
  uint32_t head_ = 0;
  uint64_t bytes_ = 0;
  uint64_t parameters_ = 0;
  uint64_t matrix_parameters_ = 0;
};

// The weights of step 0: matrices and embedding by the normal table, gains 16, biases 0, padding 0.
// Shape: model.bytes().
std::vector<int8_t> InitialWeights(const Model& model, uint64_t seed);

// Digest of bytes [offset, offset + bytes.size()) of a replica; both multiples of 8.
core::Digest DigestOfBytes(std::span<const int8_t> bytes, uint64_t offset);

// 32 lower-case hex digits, lane 0 first; and back.
std::string FormatDigest(core::Digest digest);
StatusOr<core::Digest> ParseDigest(const std::string& hex);

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cpu_fallback/noise_batch.h"
#include "cpu_fallback/product.h"
#include "cpu_fallback/vector_ops.h"
#include "kernels/model.h"

namespace hatchery {

// The replica's weights with its matrices packed for the product.
struct PackedWeights {
  std::vector<int8_t> bytes;                            // the replica, model.bytes()
  std::vector<std::unique_ptr<PackedMatrix>> matrices;  // by tensor id; null for others
};

// Runs model `egg` for a batch of members (or streams), one token at a time. One a thread.
class Forward {
 public:
  Forward(const Model& model, const JobSpec& spec, Product* product);

  // Starts `members` rows with recurrent state zero. `noise`: rows 2i and 2i + 1 are the members of
  // its pair i; null: unperturbed. Both references are kept until the next Start.
  void Start(const PackedWeights& weights, const NoiseBatch* noise, uint32_t members);

  // Feeds tokens[m] to row m. The perturbed members of a pair must get the same token.
  void Step(std::span<const uint8_t> tokens);

  // After Step, computes the logits of every row; then Logits(m) are its 256.
  void ComputeLogits();
  const int8_t* Logits(uint32_t m) const { return logits_.data() + m * 256; }

  // Recurrent state of row m, layer l: Padded(hidden) bytes.
  int8_t* State(uint32_t m, uint32_t l) { return state_[l].data() + m * stride_; }

 private:
  void Embed(std::span<const uint8_t> tokens);
  void Layer(uint32_t l);
  void Norm(uint32_t gain, const std::vector<int8_t>& x, std::vector<int8_t>& out);
  void MatMul(uint32_t tensor, const std::vector<int8_t>& x, std::vector<int8_t>& out);
  void FinishRademacher(const Tensor& t, uint32_t m, const int8_t* x, int32_t* sums, int8_t* out);
  void FinishGaussian(const Tensor& t, uint32_t m, const int8_t* x, const int32_t* sums,
                      int8_t* out);
  // A gain or bias for row m: perturbed, or the padded copy of the replica's.
  const int8_t* Vector(uint32_t m, uint32_t tensor) const;

  const Model& model_;
  const JobSpec& spec_;
  Product* product_;
  size_t stride_;  // Padded(hidden)
  vector_ops::Divider hidden_divider_, wide_divider_;

  const PackedWeights* weights_ = nullptr;
  const NoiseBatch* noise_ = nullptr;
  uint32_t members_ = 0;
  std::vector<std::vector<int8_t>> plain_vectors_;  // by tensor id, padded; gains and biases

  std::vector<int8_t> x_, residual_, normed_, from_x_, from_state_, f_, gated_, c_, wide_, logits_;
  std::vector<std::vector<int8_t>> state_;
  std::vector<int32_t> sums_;
};

}  // namespace hatchery

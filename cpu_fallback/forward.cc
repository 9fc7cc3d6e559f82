// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Every matrix is read once for all rows of the batch; what follows a product (perturbation,
// division, saturation, gates) runs row by row while the row is in the nearest cache.
#include "cpu_fallback/forward.h"

#include <cstring>

#include "kernels/core/egg.h"

namespace hatchery {

Forward::Forward(const Model& model, const JobSpec& spec, Product* product)
    : model_(model),
      spec_(spec),
      product_(product),
      stride_(Padded(spec.hidden)),
      hidden_divider_(core::MatmulDivisor(spec.hidden)),
      wide_divider_(core::MatmulDivisor(core::kMlpExpansion * spec.hidden)),
      plain_vectors_(model.tensors().size()),
      state_(spec.layers) {}

void Forward::Start(const PackedWeights& weights, const NoiseBatch* noise, uint32_t members) {
  weights_ = &weights;
  noise_ = noise;
  members_ = members;
  const size_t wide = Padded(size_t{core::kMlpExpansion} * spec_.hidden);
  for (auto* row : {&x_, &residual_, &normed_, &from_x_, &from_state_, &f_, &gated_, &c_})
    row->assign(members * stride_, 0);
  for (auto& state : state_) state.assign(members * stride_, 0);
  wide_.assign(members * wide, 0);
  logits_.assign(members * core::kVocabulary, 0);
  sums_.resize(members * std::max<size_t>(wide, core::kVocabulary));
  if (noise_ != nullptr) return;
  for (const Tensor& t : model_.tensors()) {
    if (t.kind != TensorKind::kGain && t.kind != TensorKind::kBias) continue;
    plain_vectors_[t.id].assign(Padded(t.columns), 0);
    std::memcpy(plain_vectors_[t.id].data(), weights.bytes.data() + t.offset, t.columns);
  }
}

void Forward::Step(std::span<const uint8_t> tokens) {
  Embed(tokens);
  for (uint32_t l = 0; l < spec_.layers; ++l) Layer(l);
}

void Forward::ComputeLogits() {
  Norm(model_.norm_out(), x_, normed_);
  MatMul(model_.head(), normed_, logits_);
}

void Forward::Embed(std::span<const uint8_t> tokens) {
  if (noise_ != nullptr) {
    for (uint32_t i = 0; i < members_ / 2; ++i)
      noise_->Embedding(i, tokens[2 * i], weights_->bytes, x_.data() + 2 * i * stride_,
                        x_.data() + (2 * i + 1) * stride_);
    return;
  }
  const int8_t* table = weights_->bytes.data() + model_.embedding().offset;
  for (uint32_t m = 0; m < members_; ++m)
    std::memcpy(x_.data() + m * stride_, table + size_t{tokens[m]} * spec_.hidden, spec_.hidden);
}

void Forward::Layer(uint32_t l) {
  const LayerTensors& t = model_.layer(l);
  const size_t n = spec_.hidden;
  std::vector<int8_t>& h = state_[l];
  auto row = [this](std::vector<int8_t>& v, uint32_t m) { return v.data() + m * stride_; };

  std::swap(x_, residual_);
  Norm(t.norm1, residual_, normed_);
  MatMul(t.wf, normed_, from_x_);
  MatMul(t.uf, h, from_state_);
  for (uint32_t m = 0; m < members_; ++m) {
    vector_ops::GateSum(row(from_x_, m), row(from_state_, m), Vector(m, t.bf), n, row(f_, m));
    vector_ops::GatedState(row(f_, m), row(h, m), n, row(gated_, m));
  }
  MatMul(t.wh, normed_, from_x_);
  MatMul(t.uh, gated_, from_state_);
  for (uint32_t m = 0; m < members_; ++m) {
    vector_ops::GateSum(row(from_x_, m), row(from_state_, m), Vector(m, t.bh), n, row(c_, m));
    vector_ops::NextState(row(f_, m), row(c_, m), n, row(h, m));
    vector_ops::Residual(row(h, m), row(residual_, m), n, row(x_, m));
  }

  std::swap(x_, residual_);
  Norm(t.norm2, residual_, normed_);
  MatMul(t.w1, normed_, wide_);
  MatMul(t.w2, wide_, from_x_);
  for (uint32_t m = 0; m < members_; ++m)
    vector_ops::Residual(row(from_x_, m), row(residual_, m), n, row(x_, m));
}

void Forward::Norm(uint32_t gain, const std::vector<int8_t>& x, std::vector<int8_t>& out) {
  for (uint32_t m = 0; m < members_; ++m)
    vector_ops::Norm(x.data() + m * stride_, Vector(m, gain), spec_.hidden,
                     out.data() + m * stride_);
}

const int8_t* Forward::Vector(uint32_t m, uint32_t tensor) const {
  return noise_ != nullptr ? noise_->Vector(m, tensor) : plain_vectors_[tensor].data();
}

void Forward::MatMul(uint32_t tensor, const std::vector<int8_t>& x, std::vector<int8_t>& out) {
  const Tensor& t = model_.tensor(tensor);
  const size_t in = Padded(t.columns), width = Padded(t.rows);
  product_->Multiply(*weights_->matrices[tensor], x.data(), members_, sums_.data());
  const auto& divider = t.columns == spec_.hidden ? hidden_divider_ : wide_divider_;
  for (uint32_t m = 0; m < members_; ++m) {
    int32_t* sums = sums_.data() + m * width;
    int8_t* result = out.data() + m * width;
    if (noise_ == nullptr)
      vector_ops::Finish(sums, divider, t.rows, result);
    else if (spec_.noise == core::Noise::kRademacher)
      FinishRademacher(t, m, x.data() + m * in, sums, result);
    else
      FinishGaussian(t, m, x.data() + m * in, sums, result);
  }
}

void Forward::FinishRademacher(const Tensor& t, uint32_t m, const int8_t* x, int32_t* sums,
                               int8_t* out) {
  const auto& divider = t.columns == spec_.hidden ? hidden_divider_ : wide_divider_;
  const uint32_t i = m / 2;
  const int32_t scale = core::MemberSign(m) * (16 >> spec_.sigma_shift);
  for (uint32_t r = 0; r < spec_.rank; ++r) {
    const int32_t dot = vector_ops::SignDot(noise_->Row(i, t.id, core::Factor::kB, r),
                                            noise_->Negatives(i, t.id, r), x, t.columns);
    const uint8_t* a = noise_->Row(i, t.id, core::Factor::kA, r);
    if (r + 1 < spec_.rank)
      vector_ops::AddSigned(a, scale * dot, t.rows, sums);
    else
      vector_ops::FinishSigned(sums, a, scale * dot, divider, t.rows, out);
  }
}

void Forward::FinishGaussian(const Tensor& t, uint32_t m, const int8_t* x, const int32_t* sums,
                             int8_t* out) {
  const uint32_t i = m / 2;
  int64_t dots[core::kMaxRank];
  const int8_t* a[core::kMaxRank];
  for (uint32_t r = 0; r < spec_.rank; ++r) {
    const auto* b = reinterpret_cast<const int8_t*>(noise_->Row(i, t.id, core::Factor::kB, r));
    a[r] = reinterpret_cast<const int8_t*>(noise_->Row(i, t.id, core::Factor::kA, r));
    int32_t dot = 0;  // |dot| <= 46 * 128 * 32768
    for (uint32_t k = 0; k < t.columns; ++k) dot += x[k] * b[k];
    dots[r] = dot;
  }
  const int32_t divisor = core::MatmulDivisor(t.columns);
  for (uint32_t o = 0; o < t.rows; ++o) {
    int64_t product = 0;
    for (uint32_t r = 0; r < spec_.rank; ++r) product += a[r][o] * dots[r];
    const int64_t sum = sums[o] + core::MatrixPerturbation(spec_.noise, spec_.sigma_shift,
                                                           core::MemberSign(m), product);
    out[o] = static_cast<int8_t>(core::MatmulOutput(sum, divisor));
  }
}

}  // namespace hatchery

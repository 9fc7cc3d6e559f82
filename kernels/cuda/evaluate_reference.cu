// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Evaluation for every shape and noise, written to be read: one block carries one sequence through
// all its tokens, a warp computes one output of a product, and noise is drawn anew from the
// counter wherever it is needed. The fast kernels are tested against this one.
#include <cuda_runtime.h>

#include "kernels/core/egg.h"
#include "kernels/core/score.h"
#include "kernels/core/window.h"
#include "kernels/cuda/evaluate.h"

namespace hatchery::cuda {
namespace {

constexpr uint32_t kThreads = 256;
constexpr uint32_t kWarps = kThreads / 32;

// Sum of `value` over the block, for every thread.
template <typename T>
__device__ T BlockSum(T value, T* scratch) {
  for (int offset = 16; offset != 0; offset /= 2)
    value += __shfl_xor_sync(0xFFFFFFFFu, value, offset);
  __syncthreads();  // the last use of scratch is over
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  T sum = 0;
  for (uint32_t w = 0; w < kWarps; ++w) sum += scratch[w];
  return sum;
}

// One sequence's model: the shared memory of its block, and who it is.
struct Member {
  const ModelView& model;
  uint32_t noise_step;
  uint32_t pair;
  int32_t sign;  // 0: unperturbed
  long long* scratch;
  int8_t *x, *residual, *normed, *f, *gated, *wide;  // hidden bytes each; wide: 4 * hidden or 256

  __device__ int32_t Noise(uint32_t tensor, core::Factor factor, uint32_t rank, uint32_t row,
                           uint32_t element) const {
    const uint32_t in_block = core::ElementsPerBlock(model.noise);
    const uint32_t first_block = row == 0 ? 0 : core::BlocksPerRow(model.noise, model.hidden) * row;
    return core::NoiseValue(model.noise,
                            core::NoiseBlock(model.seed, noise_step, pair, tensor, factor, rank,
                                             first_block + element / in_block),
                            element % in_block);
  }

  // Element `e` of row `row` of a gain, bias or embedding as this member has it.
  __device__ int32_t Element(uint32_t tensor, uint32_t row, uint32_t e) const {
    const int32_t w = model.weights[model.offsets[tensor] + uint64_t{row} * model.hidden + e];
    if (sign == 0) return w;
    return core::ClipWeight(w +
                            core::ElementPerturbation(model.noise, model.sigma_shift, sign,
                                                      Noise(tensor, core::Factor::kA, 0, row, e)));
  }

  __device__ void Embed(uint32_t token) const {
    for (uint32_t e = threadIdx.x; e < model.hidden; e += kThreads)
      x[e] = static_cast<int8_t>(Element(0, token, e));
    __syncthreads();
  }

  __device__ void Norm(uint32_t tensor, const int8_t* in, int8_t* out) const {
    long long sum = 0;
    for (uint32_t e = threadIdx.x; e < model.hidden; e += kThreads) sum += abs(int32_t{in[e]});
    sum = BlockSum(sum, scratch);
    const int32_t divisor = core::NormDivisor(static_cast<int32_t>(sum), model.hidden);
    for (uint32_t e = threadIdx.x; e < model.hidden; e += kThreads)
      out[e] = static_cast<int8_t>(core::NormOutput(in[e], Element(tensor, 0, e), divisor));
    __syncthreads();
  }

  // out = sat(floor((W in + perturbation) / divisor)); rows x columns.
  __device__ void MatMul(uint32_t tensor, uint32_t rows, uint32_t columns, const int8_t* in,
                         int8_t* out) const {
    long long dots[core::kMaxRank];
    for (uint32_t r = 0; sign != 0 && r < model.rank; ++r) {
      long long dot = 0;
      for (uint32_t k = threadIdx.x; k < columns; k += kThreads)
        dot += in[k] * Noise(tensor, core::Factor::kB, r, 0, k);
      dots[r] = BlockSum(dot, scratch);
    }
    const int8_t* matrix = model.weights + model.offsets[tensor];
    const int32_t divisor = core::MatmulDivisor(columns);
    for (uint32_t o = threadIdx.x / 32; o < rows; o += kWarps) {
      const int8_t* row = matrix + uint64_t{o} * columns;
      int32_t sum = 0;
      for (uint32_t k = threadIdx.x % 32; k < columns; k += 32) sum += row[k] * in[k];
      for (int offset = 16; offset != 0; offset /= 2)
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, offset);
      long long product = 0;
      for (uint32_t r = 0; sign != 0 && r < model.rank; ++r)
        product += dots[r] * Noise(tensor, core::Factor::kA, r, 0, o);
      const long long total =
          sum +
          (sign == 0 ? 0 : core::MatrixPerturbation(model.noise, model.sigma_shift, sign, product));
      if (threadIdx.x % 32 == 0) out[o] = static_cast<int8_t>(core::MatmulOutput(total, divisor));
    }
    __syncthreads();
  }

  __device__ void Layer(uint32_t layer, int8_t* h) const {
    const uint32_t d = model.hidden;
    auto id = [&](LayerPlace place) { return LayerTensor(layer, place); };
    Norm(id(kNorm1), x, normed);
    MatMul(id(kWf), d, d, normed, f);
    MatMul(id(kUf), d, d, h, wide);
    for (uint32_t e = threadIdx.x; e < d; e += kThreads) {
      const int32_t gate = core::GateSum(f[e], wide[e], Element(id(kBf), 0, e));
      f[e] = static_cast<int8_t>(gate);
      gated[e] = static_cast<int8_t>(core::GatedState(gate, h[e]));
    }
    __syncthreads();
    MatMul(id(kWh), d, d, normed, residual);
    MatMul(id(kUh), d, d, gated, wide);
    for (uint32_t e = threadIdx.x; e < d; e += kThreads) {
      const int32_t c = core::GateSum(residual[e], wide[e], Element(id(kBh), 0, e));
      const int32_t next = core::NextState(f[e], c, h[e]);
      h[e] = static_cast<int8_t>(next);
      x[e] = static_cast<int8_t>(core::Residual(next, x[e]));
    }
    __syncthreads();
    Norm(id(kNorm2), x, normed);
    MatMul(id(kW1), core::kMlpExpansion * d, d, normed, wide);
    MatMul(id(kW2), d, core::kMlpExpansion * d, wide, residual);
    for (uint32_t e = threadIdx.x; e < d; e += kThreads)
      x[e] = static_cast<int8_t>(core::Residual(residual[e], x[e]));
    __syncthreads();
  }

  // The logits of the byte after those fed so far, in `wide`.
  __device__ void Head() const {
    Norm(NormOutTensor(model.layers), x, normed);
    MatMul(HeadTensor(model.layers), core::kVocabulary, model.hidden, normed, wide);
  }

  // Adds the score of `target`; `wide` holds the logits, one a thread.
  __device__ void Score(uint32_t target, bool count_correct, SequenceSums& sums) const {
    static_assert(kThreads == core::kVocabulary);
    const int32_t logit = wide[threadIdx.x];
    const auto terms =
        static_cast<uint32_t>(BlockSum(static_cast<long long>(core::SoftmaxTerm(logit)), scratch));
    sums.score += core::TokenScore(wide[target], terms);
    sums.coarse_score += core::CoarseTokenScore(wide[target], terms);
    if (!count_correct) return;
    const bool beats = logit > wide[target] || (logit == wide[target] && threadIdx.x < target);
    sums.correct += __syncthreads_or(beats) == 0;
  }
};

__global__ void __launch_bounds__(kThreads)
    EvaluateKernel(ModelView model, Sequences sequences, int8_t* states, bool keep_state) {
  extern __shared__ int8_t shared[];
  __shared__ long long scratch[kWarps];
  const uint32_t d = model.hidden;
  int8_t* state = states + size_t{blockIdx.x} * model.layers * d;
  for (uint32_t i = blockIdx.x; i < sequences.count; i += gridDim.x) {
    const uint32_t pair = sequences.first_pair + i / 2;
    Member member{model,          sequences.noise_step,
                  pair,           sequences.perturbed ? core::MemberSign(i) : 0,
                  scratch,        shared,
                  shared + d,     shared + 2 * d,
                  shared + 3 * d, shared + 4 * d,
                  shared + 5 * d};
    const uint64_t offset =
        sequences.perturbed
            ? core::WindowOffset(model.seed, sequences.step, pair / sequences.pairs_per_group,
                                 sequences.positions)
            : i * sequences.stride;
    const uint8_t* bytes = sequences.bytes + offset;
    if (!keep_state)
      for (size_t e = threadIdx.x; e < size_t{model.layers} * d; e += kThreads) state[e] = 0;
    __syncthreads();
    SequenceSums sums{};
    for (uint32_t at = 0; at < sequences.tokens; ++at) {
      member.Embed(bytes[at]);
      for (uint32_t l = 0; l < model.layers; ++l) member.Layer(l, state + size_t{l} * d);
      if (at < sequences.unscored && sequences.logits == nullptr) continue;
      member.Head();
      if (at >= sequences.unscored) member.Score(bytes[at + 1], !sequences.perturbed, sums);
    }
    if (threadIdx.x == 0 && sequences.scores != nullptr)
      sequences.scores[i] = static_cast<int32_t>(sums.score);
    if (threadIdx.x == 0 && sequences.sums != nullptr) sequences.sums[i] = sums;
    if (sequences.logits != nullptr) sequences.logits[threadIdx.x] = member.wide[threadIdx.x];
    __syncthreads();
  }
}

}  // namespace

cudaError_t EvaluateReference(const ModelView& model, const Sequences& sequences, uint32_t blocks,
                              int8_t* state, bool keep_state) {
  const uint32_t wide = core::kMlpExpansion * model.hidden;
  const uint32_t shared = 5 * model.hidden + (wide < core::kVocabulary ? core::kVocabulary : wide);
  const cudaError_t error = cudaFuncSetAttribute(
      EvaluateKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
  if (error != cudaSuccess) return error;
  EvaluateKernel<<<blocks, kThreads, shared>>>(model, sequences, state, keep_state);
  return cudaGetLastError();
}

}  // namespace hatchery::cuda

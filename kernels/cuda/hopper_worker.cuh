// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// One consumer thread of evaluate_hopper.cu: what it holds, how it multiplies, and what it reads.
// The steps of a token are defined by subject: hopper_norm.cuh, hopper_cell.cuh, hopper_mlp.cuh,
// hopper_head.cuh; hopper_step.cuh puts them in order.
#pragma once

#include "kernels/cuda/hopper_noise.cuh"
#include "kernels/cuda/hopper_rows.cuh"
#include "kernels/cuda/hopper_shared.cuh"
#include "kernels/cuda/packed.cuh"

namespace hatchery::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// A vector's versions for this thread's columns.
struct Elements {
  Half plus, minus;
};

// What a norm and the dots after it need, by halves.
struct NormInputs {
  Elements gains[2];
  uint32_t bits[2];
  uint32_t b[2][2];  // of the one or two matrices that read its output
};

// This thread's part of the recurrent state, by halves and rows.
struct State {
  Half h[2][2];
  uint32_t b[2];  // units of Uf's B
};

// What the scorer needs of both rows' logits.
struct Logits {
  uint32_t terms[2];  // softmax sums
  int32_t target[2];  // logit of the target
  uint32_t first[2];  // unperturbed only: the first column whose logit is largest
};

template <bool kPerturbed>
struct Worker {
  const ModelView& model;
  const HopperMemory& memory;
  const uint32_t (&exp2)[core::kVocabulary];
  Stages stages;
  Tiles tiles;
  uint32_t group, thread;
  uint32_t q;             // place within the four threads that share two rows
  const uint32_t* noise;  // this thread's words; unit u at noise[u * 4 * kPairs]
  int32_t sigma;
  uint32_t upper_bits;  // see Dots

  // All layers of one token and the head.
  __device__ Logits Step(const uint32_t (&tokens)[2], const uint32_t (&targets)[2], bool first,
                         uint32_t pair, uint32_t noise_step);

 private:
  // --- Products -------------------------------------------------------------------------------

  // acc = tile times the stage at `place`, 256 columns.
  __device__ void Multiply(int32_t (&acc)[64], uint32_t tile, uint32_t place) const {
    const uint64_t b = TileDescriptor(stages.Take(place));
    const uint64_t a = TileDescriptor(tiles.Address(tile));
    WgmmaFence();
#pragma unroll
    for (uint32_t k = 0; k < 8; ++k)
      Wgmma(acc, a + k / 4 * (kHalfTile >> 4) + k % 4 * 2,
            b + k / 4 * (kPlateBytes >> 4) + k % 4 * 2, k != 0);
  }
  // out (+)= half tile at `a` times a plate of a stage, 128 columns.
  __device__ static void MultiplyHalf(int32_t (&out)[64], uint64_t a, uint64_t plate,
                                      bool accumulate) {
#pragma unroll
    for (uint32_t k = 0; k < 4; ++k) Wgmma(out, a + 2 * k, plate + 2 * k, accumulate || k != 0);
  }
  // out0, out1 (+)= half of the hidden values' tile times W2's stage for it.
  __device__ void MultiplyHidden(int32_t (&out0)[64], int32_t (&out1)[64], uint32_t chunk) const {
    const uint64_t b = TileDescriptor(stages.Take(PlaceOfW2(chunk)));
    const uint64_t a = TileDescriptor(tiles.Address(kGatedTile) + (chunk & 1) * kHalfTile);
    WgmmaFence();
    MultiplyHalf(out0, a, b, chunk != 0);
    MultiplyHalf(out1, a, b + (kPlateBytes >> 4), chunk != 0);
    WgmmaCommit();
  }

  // Products may read what was stored to tiles; products that read tiles before are over.
  __device__ void PublishTiles() const {
    ProxyFence();
    NamedBarrier(1 + group, kGroupThreads);
  }

  // --- Rows and inputs --------------------------------------------------------------------------

  enum Own : uint32_t { kResidual, kGate, kOwn };
  __device__ uint4* OwnRows(Own which) const {
    return memory.scratch +
           ((size_t{blockIdx.x} * kOwn + which) * kGroups + group) * kRowChunks * kGroupThreads +
           thread;
  }
  __device__ uint4* StateRows(uint32_t layer) const {
    return memory.states +
           ((size_t{blockIdx.x} * model.layers + layer) * kGroups + group) * kRowChunks *
               kGroupThreads +
           thread;
  }

  __device__ uint32_t LoadUnit(uint32_t unit) const {
    return kPerturbed ? noise[unit * 4 * kPairs] : 0;
  }

  __device__ Elements LoadElements(const int8_t* vector, uint32_t half) const {
    Elements e;
#pragma unroll
    for (uint32_t c = 0; c < 2; ++c) {
      const int8_t* at = vector + half * 128 + q * 32 + c * 16;
      const uint32_t first = kPerturbed ? kPlus : kPlain;
      Spread(e.plus, c, __ldg(reinterpret_cast<const uint4*>(at + first * kHopperHidden)));
      if (kPerturbed)
        Spread(e.minus, c, __ldg(reinterpret_cast<const uint4*>(at + kMinus * kHopperHidden)));
    }
    return e;
  }
  __device__ const int8_t* Vector(uint32_t layer, LayerVector which) const {
    return memory.vectors + (layer * kLayerVectors + which) * kVectorBytes;
  }
  // Elements i as members + and - have them.
  __device__ static void Perturb(const Elements& e, uint32_t word, uint32_t i, uint32_t (&v)[2]) {
    v[0] = v[1] = e.plus.r[i];
    if (!kPerturbed) return;
    const uint32_t mask = UpperBitMasks(BitsAt(word, i));
    v[0] = (e.plus.r[i] & ~mask) | (e.minus.r[i] & mask);
    v[1] = (e.minus.r[i] & ~mask) | (e.plus.r[i] & mask);
  }

  __device__ void AddDots(uint32_t word, uint32_t i, uint32_t x0, uint32_t x1, Dots& dots) const {
    if (kPerturbed) dots.Add(word, i, x0, x1, upper_bits);
  }
  __device__ void FinishDots(Dots& dots) const {
    if (kPerturbed) dots.Finish(sigma);
  }
  // Sums of register i of one row.
  __device__ static void Sums4(const int32_t (&acc)[64], uint32_t i, uint32_t row, uint32_t signs,
                               const Dots& dots, int32_t (&v)[4]) {
    if constexpr (kPerturbed) {
      Perturbed4(acc, i, row, signs, dots.of[row], v);
    } else {
#pragma unroll
      for (uint32_t j = 0; j < 4; ++j) v[j] = acc[16 * (i / 2) + 4 * j + 2 * row + i % 2];
    }
  }
  __device__ static uint32_t SignsAt(uint32_t word, uint32_t i) {
    return kPerturbed ? UpperBitSigns(BitsAt(word, i)) : 0;
  }
  __device__ static void Complete(int32_t (&acc)[64], uint32_t word, const Dots& dots) {
    if (kPerturbed) AddWide(acc, word, dots);
  }

  // Four values, two a register, onto the residual's offset bytes.
  __device__ static uint32_t Residual(uint32_t low, uint32_t high, uint32_t residual,
                                      int32_t& magnitudes) {
    const uint32_t sum = Bytes16(SaturatedSum16(low, LowUnsigned16(residual)),
                                 SaturatedSum16(high, HighUnsigned16(residual)));
    magnitudes = AddMagnitudes(sum, magnitudes);
    return sum;
  }

  // --- Embedding and norms: hopper_norm.cuh -----------------------------------------------------

  // Residual = embedding rows of both members' tokens; magnitudes = their sums |x| (a thread's).
  __device__ void Embed(const uint32_t (&tokens)[2], uint32_t pair, uint32_t noise_step,
                        int32_t (&magnitudes)[2]) const;
  // `layer` may be one past the last: norm_out and the head lie as the next layer's would.
  __device__ NormInputs LoadNorm(uint32_t layer, LayerVector which) const;
  // x tile = norm(residual), with the dots of the one or two matrices that read it. With kKeep the
  // residual moves to its own rows, for its tile is about to hold the state.
  template <uint32_t kMatrices, bool kKeep>
  __device__ void Norm(const NormInputs& inputs, const int32_t (&magnitudes)[2],
                       Dots (&dots)[kMatrices]) const;

  // --- The recurrent cell: hopper_cell.cuh ------------------------------------------------------

  // The state that the thread stored at the last token, or zero, and its noise.
  __device__ State LoadState(uint32_t layer, bool zero) const;
  // State tile = state, with Uf's dots.
  __device__ void PlaceState(const State& state, Dots& dots) const;
  // The forget gate, and g tile = gated state, with Uh's dots.
  __device__ void Forget(uint32_t layer, const Dots& dots_x, const Dots& dots_h, Dots& dots_g);
  // The candidate, the next state, and residual = next state + residual.
  __device__ void Advance(uint32_t layer, const Dots& dots_x, const Dots& dots_g,
                          int32_t (&magnitudes)[2]);

  // --- The MLP: hopper_mlp.cuh ------------------------------------------------------------------

  // Residual += W2 W1 x. Meanwhile loads what the next layer begins with.
  __device__ void Mlp(uint32_t layer, const Dots& dots_x, int32_t (&magnitudes)[2], bool zero_state,
                      NormInputs& next_inputs, State& next_state);
  // 128 hidden values to a half tile, with their part of W2's dots.
  __device__ void Hidden(int32_t (&acc)[64], uint32_t chunk, uint32_t a, uint32_t b,
                         const Dots& dots_x, Dots& dots) const;
  // Residual += half of W2's outputs, in `acc`.
  __device__ void AddMlp(int32_t (&acc)[64], uint32_t half, uint32_t a, const Dots& dots,
                         int32_t (&magnitudes)[2]) const;

  // --- The head: hopper_head.cuh ----------------------------------------------------------------

  // The logits, as far as the score needs them.
  __device__ Logits Head(const Dots& dots_x, const uint32_t (&targets)[2]);
};

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace hatchery::cuda

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// One token of one consumer thread of evaluate_hopper.cu: the model's steps, in order. What comes
// from device memory is loaded a step before it is used, for that takes 400 to 800 clocks.
#pragma once

#include "kernels/cuda/hopper_noise.cuh"
#include "kernels/cuda/hopper_rows.cuh"
#include "kernels/cuda/hopper_shared.cuh"
#include "kernels/cuda/packed.cuh"

namespace hatchery::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

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

  // What the scorer needs of both rows' logits.
  struct Logits {
    uint32_t terms[2];  // softmax sums
    int32_t target[2];  // logit of the target
    uint32_t first[2];  // unperturbed only: the first column whose logit is largest
  };

  // All layers of one token and the head.
  __device__ Logits Step(const uint32_t (&tokens)[2], const uint32_t (&targets)[2], bool first,
                         uint32_t pair, uint32_t noise_step) {
    int32_t magnitudes[2];
    NormInputs inputs = LoadNorm(0, kVectorNorm1);
    State state = LoadState(0, first);
    Embed(tokens, pair, noise_step, magnitudes);
#pragma unroll 1
    for (uint32_t layer = 0; layer < model.layers; ++layer) {
      Dots dots[2], dots_h, dots_g, dots_y[1];
      Norm<2, true>(inputs, magnitudes, dots);
      PlaceState(state, dots_h);
      PublishTiles();
      Forget(layer, dots[0], dots_h, dots_g);
      PublishTiles();
      Advance(layer, dots[1], dots_g, magnitudes);
      inputs = LoadNorm(layer, kVectorNorm2);
      Norm<1, false>(inputs, magnitudes, dots_y);
      PublishTiles();
      Mlp(layer, dots_y[0], magnitudes, first, inputs, state);
    }
    Dots dots[1];
    Norm<1, false>(inputs, magnitudes, dots);
    PublishTiles();
    return Head(dots[0], targets);
  }

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

  // A vector's versions for this thread's columns.
  struct Elements {
    Half plus, minus;
  };
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

  // --- Embedding and norms ----------------------------------------------------------------------

  // Residual = embedding rows of both members' tokens; magnitudes = their sums |x| (a thread's).
  __device__ void Embed(const uint32_t (&tokens)[2], uint32_t pair, uint32_t noise_step,
                        int32_t (&magnitudes)[2]) const {
    magnitudes[0] = magnitudes[1] = 0;
#pragma unroll 1
    for (uint32_t half = 0; half < 2; ++half) {
      Half x[2];
      const Elements e = LoadElements(memory.embedding + tokens[0] * kVectorBytes, half);
      if (kPerturbed) {
        const uint32_t word = WordOf(core::NoiseBlock(model.seed, noise_step, pair, 0,
                                                      core::Factor::kA, 0, 2 * tokens[0] + half),
                                     q);
#pragma unroll
        for (uint32_t i = 0; i < 8; ++i) {
          uint32_t v[2];
          Perturb(e, word, i, v);
          x[0].r[i] = v[0], x[1].r[i] = v[1];
        }
      } else {
        x[0] = e.plus;
        x[1] = LoadElements(memory.embedding + tokens[1] * kVectorBytes, half).plus;
      }
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
#pragma unroll
        for (uint32_t i = 0; i < 8; ++i)
          magnitudes[row] = AddMagnitudes(x[row].r[i], magnitudes[row]);
        tiles.Store(kResidualTile, half, row, x[row]);
      }
    }
  }

  // What a norm and the dots after it need, by halves.
  struct NormInputs {
    Elements gains[2];
    uint32_t bits[2];
    uint32_t b[2][2];  // of the one or two matrices that read its output
  };
  // `layer` may be one past the last: norm_out and the head lie as the next layer's would.
  __device__ NormInputs LoadNorm(uint32_t layer, LayerVector which) const {
    static_assert(uint32_t{kUnitNormOut} == kUnitNorm1 && uint32_t{kUnitHeadB} == kUnitWfB);
    const uint32_t units = layer * kLayerUnits;
    const uint32_t gain = which == kVectorNorm1 ? kUnitNorm1 : kUnitNorm2;
    const uint32_t b0 = which == kVectorNorm1 ? kUnitWfB : kUnitW1B;
    const uint32_t b1 = which == kVectorNorm1 && layer < model.layers ? uint32_t{kUnitWhB} : b0;
    NormInputs inputs;
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      inputs.bits[half] = LoadUnit(units + gain + half);
      inputs.b[0][half] = LoadUnit(units + b0 + half);
      inputs.b[1][half] = LoadUnit(units + b1 + half);
      inputs.gains[half] = LoadElements(Vector(layer, which), half);
    }
    return inputs;
  }

  // x tile = norm(residual), with the dots of the one or two matrices that read it. With kKeep the
  // residual moves to its own rows, for its tile is about to hold the state.
  template <uint32_t kMatrices, bool kKeep>
  __device__ void Norm(const NormInputs& inputs, const int32_t (&magnitudes)[2],
                       Dots (&dots)[kMatrices]) const {
    int32_t reciprocal[2];
#pragma unroll
    for (uint32_t row = 0; row < 2; ++row) {
      int32_t sum = magnitudes[row];
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
      reciprocal[row] = ReciprocalOf(core::NormDivisor(sum, kHopperHidden));
    }
    NamedBarrier(1 + group, kGroupThreads);  // products that read the tile are over
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      Half x[2];
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
        x[row] = tiles.Load(kResidualTile, half, row);
        if (kKeep) StoreRows(OwnRows(kResidual), half, row, x[row]);
      }
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        uint32_t gain[2];
        Perturb(inputs.gains[half], inputs.bits[half], i, gain);
#pragma unroll
        for (uint32_t row = 0; row < 2; ++row)
          x[row].r[i] = Norm4(Offset4(x[row].r[i]), gain[row], reciprocal[row]);
#pragma unroll
        for (uint32_t m = 0; m < kMatrices; ++m)
          AddDots(inputs.b[m][half], i, x[0].r[i], x[1].r[i], dots[m]);
      }
      tiles.Store(kXTile, half, 0, x[0]);
      tiles.Store(kXTile, half, 1, x[1]);
    }
#pragma unroll
    for (uint32_t m = 0; m < kMatrices; ++m) FinishDots(dots[m]);
  }

  // --- The recurrent cell -----------------------------------------------------------------------

  // This thread's part of the recurrent state, by halves and rows.
  struct State {
    Half h[2][2];
    uint32_t b[2];  // units of Uf's B
  };
  __device__ State LoadState(uint32_t layer, bool zero) const {
    State state{};
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      state.b[half] = LoadUnit(layer * kLayerUnits + kUnitUfB + half);
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row)
        if (!zero) state.h[half][row] = LoadRows(StateRows(layer), half, row);
    }
    return state;
  }
  // State tile = state, with Uf's dots.
  __device__ void PlaceState(const State& state, Dots& dots) const {
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      const Half(&h)[2] = state.h[half];
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) AddDots(state.b[half], i, h[0].r[i], h[1].r[i], dots);
      tiles.Store(kStateTile, half, 0, h[0]);
      tiles.Store(kStateTile, half, 1, h[1]);
    }
    FinishDots(dots);
  }

  // Two products and a bias of register i: offset sums, two a register.
  struct Gate {
    uint32_t low, high;
  };
  __device__ static Gate GateSum(const int32_t (&x)[4], const int32_t (&s)[4], uint32_t bias) {
    const uint32_t low = Add16(UpperBytes16(Pack16(x[1], x[0])), UpperBytes16(Pack16(s[1], s[0])));
    const uint32_t high = Add16(UpperBytes16(Pack16(x[3], x[2])), UpperBytes16(Pack16(s[3], s[2])));
    return {SaturatedSum16(low, LowUnsigned16(bias)), SaturatedSum16(high, HighUnsigned16(bias))};
  }

  // The forget gate, and g tile = gated state, with Uh's dots.
  __device__ void Forget(uint32_t layer, const Dots& dots_x, const Dots& dots_h, Dots& dots_g) {
    const uint32_t units = layer * kLayerUnits;
#pragma unroll 1
    for (uint32_t half = 0; half < 2; ++half) {
      const uint32_t place = 2 * half;
      const uint32_t ax = LoadUnit(units + kUnitWfA + half), ah = LoadUnit(units + kUnitUfA + half);
      const uint32_t bias_bits = LoadUnit(units + kUnitBf + half);
      const uint32_t b = LoadUnit(units + kUnitUhB + half);
      int32_t acc_x[64], acc_h[64];
      Multiply(acc_x, kXTile, place);
      Multiply(acc_h, kStateTile, place + 1);
      WgmmaCommit();
      const Elements bias = LoadElements(Vector(layer, kVectorBf), half);
      const Half h[2] = {tiles.Load(kStateTile, half, 0), tiles.Load(kStateTile, half, 1)};
      WgmmaWait<0>();
      stages.Return(place);
      stages.Return(place + 1);
      Complete(acc_x, ax, dots_x);
      Complete(acc_h, ah, dots_h);
      Half gate[2], gated[2];
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        const uint32_t sx = SignsAt(ax, i), sh = SignsAt(ah, i);
        uint32_t biases[2];
        Perturb(bias, bias_bits, i, biases);
#pragma unroll
        for (uint32_t row = 0; row < 2; ++row) {
          int32_t x[4], s[4];
          Sums4(acc_x, i, row, sx, dots_x, x);
          Sums4(acc_h, i, row, sh, dots_h, s);
          const Gate f = GateSum(x, s, biases[row]);
          gate[row].r[i] = Bytes16(f.low, f.high);
          gated[row].r[i] = GatedState4(f.low, f.high, h[row].r[i]);
        }
        AddDots(b, i, gated[0].r[i], gated[1].r[i], dots_g);
      }
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
        StoreRows(OwnRows(kGate), half, row, gate[row]);
        tiles.Store(kGatedTile, half, row, gated[row]);
      }
    }
    FinishDots(dots_g);
  }

  // The candidate, the next state, and residual = next state + residual.
  __device__ void Advance(uint32_t layer, const Dots& dots_x, const Dots& dots_g,
                          int32_t (&magnitudes)[2]) {
    const uint32_t units = layer * kLayerUnits;
    magnitudes[0] = magnitudes[1] = 0;
#pragma unroll 1
    for (uint32_t half = 0; half < 2; ++half) {
      const uint32_t place = kGateStages / 2 + 2 * half;
      const uint32_t ax = LoadUnit(units + kUnitWhA + half), ag = LoadUnit(units + kUnitUhA + half);
      const uint32_t bias_bits = LoadUnit(units + kUnitBh + half);
      int32_t acc_x[64], acc_g[64];
      Multiply(acc_x, kXTile, place);
      Multiply(acc_g, kGatedTile, place + 1);
      WgmmaCommit();
      const Elements bias = LoadElements(Vector(layer, kVectorBh), half);
      Half gate[2], x[2];
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
        gate[row] = LoadRows(OwnRows(kGate), half, row);
        x[row] = LoadRows(OwnRows(kResidual), half, row);
      }
      WgmmaWait<0>();
      stages.Return(place);
      stages.Return(place + 1);
      Complete(acc_x, ax, dots_x);
      Complete(acc_g, ag, dots_g);
      Half h[2] = {tiles.Load(kStateTile, half, 0), tiles.Load(kStateTile, half, 1)};
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        const uint32_t sx = SignsAt(ax, i), sg = SignsAt(ag, i);
        uint32_t biases[2];
        Perturb(bias, bias_bits, i, biases);
#pragma unroll
        for (uint32_t row = 0; row < 2; ++row) {
          int32_t from_x[4], from_g[4];
          Sums4(acc_x, i, row, sx, dots_x, from_x);
          Sums4(acc_g, i, row, sg, dots_g, from_g);
          const Gate c = GateSum(from_x, from_g, biases[row]);
          const uint32_t next = NextState4(gate[row].r[i], c.low, c.high, h[row].r[i]);
          x[row].r[i] = Residual(Low16(next), High16(next), x[row].r[i], magnitudes[row]);
          h[row].r[i] = next;
        }
      }
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
        StoreRows(StateRows(layer), half, row, h[row]);
        tiles.Store(kResidualTile, half, row, x[row]);
      }
    }
  }

  // Four values, two a register, onto the residual's offset bytes.
  __device__ static uint32_t Residual(uint32_t low, uint32_t high, uint32_t residual,
                                      int32_t& magnitudes) {
    const uint32_t sum = Bytes16(SaturatedSum16(low, LowUnsigned16(residual)),
                                 SaturatedSum16(high, HighUnsigned16(residual)));
    magnitudes = AddMagnitudes(sum, magnitudes);
    return sum;
  }

  // --- The MLP and the head ---------------------------------------------------------------------

  // Residual += W2 W1 x. The 1,024 hidden values pass through two half tiles, 128 at a time; W1's
  // next product is started before W2's, so that W2's runs under the arithmetic that follows W1's.
  // Meanwhile loads what the next layer begins with.
  __device__ void Mlp(uint32_t layer, const Dots& dots_x, int32_t (&magnitudes)[2], bool zero_state,
                      NormInputs& next_inputs, State& next_state) {
    const uint32_t units = layer * kLayerUnits;
    int32_t out0[64], out1[64], acc[64];
    Dots dots;
    uint32_t a = LoadUnit(units + kUnitW1A), b = LoadUnit(units + kUnitW2B);
    Multiply(acc, kXTile, PlaceOfW1(0));
    WgmmaCommit();
    WgmmaWait<0>();
    stages.Return(PlaceOfW1(0));
#pragma unroll 1
    for (uint32_t chunk = 0; chunk < kMlpChunks - 1; ++chunk) {
      Hidden(acc, chunk, a, b, dots_x, dots);
      a = LoadUnit(units + kUnitW1A + chunk + 1), b = LoadUnit(units + kUnitW2B + chunk + 1);
      Multiply(acc, kXTile, PlaceOfW1(chunk + 1));
      WgmmaCommit();
      MultiplyHidden(out0, out1, chunk);
      WgmmaWait<1>();  // W2's goes on
      stages.Return(PlaceOfW1(chunk + 1));
      if (chunk != 0) stages.Return(PlaceOfW2(chunk - 1));
    }
    Hidden(acc, kMlpChunks - 1, a, b, dots_x, dots);
    MultiplyHidden(out0, out1, kMlpChunks - 1);
    const uint32_t a0 = LoadUnit(units + kUnitW2A), a1 = LoadUnit(units + kUnitW2A + 1);
    FinishDots(dots);
    WgmmaWait<0>();
    stages.Return(PlaceOfW2(kMlpChunks - 2));
    stages.Return(PlaceOfW2(kMlpChunks - 1));
    magnitudes[0] = magnitudes[1] = 0;
    AddMlp(out0, 0, a0, dots, magnitudes);
    next_inputs = LoadNorm(layer + 1, kVectorNorm1);
    next_state = LoadState(min(layer + 1, model.layers - 1), zero_state);
    AddMlp(out1, 1, a1, dots, magnitudes);
  }

  // 128 hidden values to a half tile, with their part of W2's dots.
  __device__ void Hidden(int32_t (&acc)[64], uint32_t chunk, uint32_t a, uint32_t b,
                         const Dots& dots_x, Dots& dots) const {
    Complete(acc, a, dots_x);
    Half v[2];
#pragma unroll
    for (uint32_t i = 0; i < 8; ++i) {
      const uint32_t signs = SignsAt(a, i);
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
        int32_t sums[4];
        Sums4(acc, i, row, signs, dots_x, sums);
        v[row].r[i] = UpperBytes(Pack16(sums[1], sums[0]), Pack16(sums[3], sums[2]));
      }
      AddDots(b, i, v[0].r[i], v[1].r[i], dots);
    }
    tiles.Store(kGatedTile, chunk & 1, 0, v[0]);
    tiles.Store(kGatedTile, chunk & 1, 1, v[1]);
    PublishTiles();
  }

  // Residual += half of W2's outputs, in `acc`.
  __device__ void AddMlp(int32_t (&acc)[64], uint32_t half, uint32_t a, const Dots& dots,
                         int32_t (&magnitudes)[2]) const {
    Complete(acc, a, dots);
#pragma unroll
    for (uint32_t row = 0; row < 2; ++row) {
      Half x = tiles.Load(kResidualTile, half, row);
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        int32_t v[4];
        Sums4(acc, i, row, SignsAt(a, i), dots, v);
#pragma unroll
        for (uint32_t j = 0; j < 4; ++j) v[j] >>= 1;  // W2 divides by 512
        x.r[i] = Residual(UpperBytes16(Pack16(v[1], v[0])), UpperBytes16(Pack16(v[3], v[2])),
                          x.r[i], magnitudes[row]);
      }
      tiles.Store(kResidualTile, half, row, x);
    }
  }

  __device__ Logits Head(const Dots& dots_x, const uint32_t (&targets)[2]) {
    const uint32_t units = model.layers * kLayerUnits;
    Logits out{};
    uint32_t best[2] = {0, 0};  // (logit + 128) * 256 + 255 - column
#pragma unroll 1
    for (uint32_t half = 0; half < 2; ++half) {
      const uint32_t a = LoadUnit(units + kUnitHeadA + half);
      int32_t acc[64];
      Multiply(acc, kXTile, half);
      WgmmaCommit();
      WgmmaWait<0>();
      stages.Return(half);
      Complete(acc, a, dots_x);
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
        const uint32_t column = targets[row] & 127;
        const bool mine = targets[row] >> 7 == half && (column >> 1 & 3) == q;
        const uint32_t place = 2 * (column >> 5) + (column & 1);
#pragma unroll
        for (uint32_t i = 0; i < 8; ++i) {
          int32_t v[4];
          Sums4(acc, i, row, SignsAt(a, i), dots_x, v);
          const uint32_t logits = Offset4(UpperBytes(Pack16(v[1], v[0]), Pack16(v[3], v[2])));
#pragma unroll
          for (uint32_t j = 0; j < 4; ++j) {
            const uint32_t logit = logits >> 8 * j & 0xFF;
            out.terms[row] += exp2[logit];
            if (!kPerturbed)
              best[row] =
                  max(best[row],
                      logit << 8 | (255 - (half * 128 + 32 * (i / 2) + 8 * j + 2 * q + i % 2)));
          }
          if (mine && place == i)
            out.target[row] = static_cast<int32_t>(logits >> 8 * (column >> 3 & 3) & 0xFF);
        }
      }
    }
    stages.FinishToken();
#pragma unroll
    for (uint32_t row = 0; row < 2; ++row) {
#pragma unroll
      for (uint32_t lane = 1; lane <= 2; lane *= 2) {
        out.terms[row] += __shfl_xor_sync(0xFFFFFFFFu, out.terms[row], lane);
        out.target[row] += __shfl_xor_sync(0xFFFFFFFFu, out.target[row], lane);
        best[row] = max(best[row], __shfl_xor_sync(0xFFFFFFFFu, best[row], lane));
      }
      out.target[row] -= 128;
      out.first[row] = 255 - (best[row] & 0xFF);
    }
    return out;
  }
};

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace hatchery::cuda

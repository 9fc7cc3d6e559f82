// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The recurrent cell of evaluate_hopper.cu: forget gate, candidate, next state.
#pragma once

#include "kernels/cuda/hopper_worker.cuh"

namespace hatchery::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <bool kPerturbed>
__device__ inline State Worker<kPerturbed>::LoadState(uint32_t layer, bool zero) const {
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

template <bool kPerturbed>
__device__ inline void Worker<kPerturbed>::PlaceState(const State& state, Dots& dots) const {
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
__device__ inline Gate GateSum(const int32_t (&x)[4], const int32_t (&s)[4], uint32_t bias) {
  const uint32_t low = Add16(UpperBytes16(Pack16(x[1], x[0])), UpperBytes16(Pack16(s[1], s[0])));
  const uint32_t high = Add16(UpperBytes16(Pack16(x[3], x[2])), UpperBytes16(Pack16(s[3], s[2])));
  return {SaturatedSum16(low, LowUnsigned16(bias)), SaturatedSum16(high, HighUnsigned16(bias))};
}

template <bool kPerturbed>
__device__ inline void Worker<kPerturbed>::Forget(uint32_t layer, const Dots& dots_x,
                                                  const Dots& dots_h, Dots& dots_g) {
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

template <bool kPerturbed>
__device__ inline void Worker<kPerturbed>::Advance(uint32_t layer, const Dots& dots_x,
                                                   const Dots& dots_g, int32_t (&magnitudes)[2]) {
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

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace hatchery::cuda

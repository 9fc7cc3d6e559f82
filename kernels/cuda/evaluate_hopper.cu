// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Fused evaluation for D = 256, rank 1, Rademacher noise, on Hopper's tensor cores. A block carries
// 128 members (64 pairs) through all tokens and layers. Two warpgroups own 64 members each and
// alternate between products (wgmma) and what follows them; a third streams the weights from L2
// through a ring of 16 KB stages that both read. Activations that a product reads lie in shared
// memory; a thread's own residuals, gates and recurrent state pass through L2. A pair's two members
// are rows r and r + 8 of the accumulators, so one thread holds both and draws their noise once.
#include <cuda_runtime.h>

#include "kernels/core/egg.h"
#include "kernels/core/score.h"
#include "kernels/core/window.h"
#include "kernels/cuda/evaluate_hopper.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/packed.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace hatchery::cuda {
namespace {

constexpr uint32_t kGroups = 2;  // consumer warpgroups
constexpr uint32_t kGroupThreads = 128;
constexpr uint32_t kThreads = (kGroups + 1) * kGroupThreads;
constexpr uint32_t kPairs = kHopperMembers / 2;
constexpr uint32_t kRing = 8;             // stages: two phases of products
constexpr uint32_t kHalfTile = 64 * 128;  // bytes: 64 members, 128 columns
constexpr uint32_t kTile = 2 * kHalfTile;
constexpr uint32_t kTiles = 3;      // a group: x, h, and g or the MLP's hidden values
constexpr uint32_t kRowChunks = 8;  // 16-byte pieces of a thread's two rows

struct Shared {
  alignas(1024) int8_t ring[kRing][kStageBytes];
  alignas(1024) int8_t tiles[kGroups][kTiles][kTile];
  uint32_t exp2[core::kVocabulary];
  alignas(8) uint64_t full[kRing];
  uint64_t empty[kRing];
};
constexpr size_t kSharedBytes = sizeof(Shared) + 1024;  // room to align

__host__ __device__ uint32_t UnitsOf(uint32_t layers) { return layers * kLayerUnits + kHeadUnits; }
__host__ __device__ uint32_t StagesOf(uint32_t layers) {
  return layers * kLayerStages + kHeadStages;
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Tensor, factor and block of a noise unit.
struct UnitName {
  uint32_t tensor;
  core::Factor factor;
  uint32_t block;
};
__device__ UnitName NameOfUnit(uint32_t unit, uint32_t layers) {
  using core::Factor;
  const uint32_t layer = unit / kLayerUnits, u = unit % kLayerUnits;
  if (layer == layers) {
    if (u < kUnitHeadA) return {NormOutTensor(layers), Factor::kA, u};
    return {HeadTensor(layers), u < kUnitHeadB ? Factor::kA : Factor::kB, u % 2};
  }
  auto in = [&](LayerPlace place, Factor factor, uint32_t block) {
    return UnitName{LayerTensor(layer, place), factor, block};
  };
  if (u < kUnitWfA) return in(kNorm1, Factor::kA, u);
  if (u < kUnitUfA) return in(kWf, u < kUnitWfB ? Factor::kA : Factor::kB, u % 2);
  if (u < kUnitBf) return in(kUf, u < kUnitUfB ? Factor::kA : Factor::kB, u % 2);
  if (u < kUnitWhA) return in(kBf, Factor::kA, u % 2);
  if (u < kUnitUhA) return in(kWh, u < kUnitWhB ? Factor::kA : Factor::kB, u % 2);
  if (u < kUnitBh) return in(kUh, u < kUnitUhB ? Factor::kA : Factor::kB, u % 2);
  if (u < kUnitNorm2) return in(kBh, Factor::kA, u % 2);
  if (u < kUnitW1A) return in(kNorm2, Factor::kA, u % 2);
  if (u < kUnitW1B) return in(kW1, Factor::kA, u - kUnitW1A);
  if (u < kUnitW2A) return in(kW1, Factor::kB, u % 2);
  if (u < kUnitW2B) return in(kW2, Factor::kA, u % 2);
  return in(kW2, Factor::kB, u - kUnitW2B);
}

// Registers of a thread's part of 128 columns of one row: i = 2 g + b (layout.h).
struct Half {
  uint32_t r[8];
};

__device__ inline void Spread(Half& half, uint32_t c, uint4 v) {
  half.r[4 * c] = v.x, half.r[4 * c + 1] = v.y, half.r[4 * c + 2] = v.z, half.r[4 * c + 3] = v.w;
}
__device__ inline uint4 Piece(const Half& half, uint32_t c) {
  return {half.r[4 * c], half.r[4 * c + 1], half.r[4 * c + 2], half.r[4 * c + 3]};
}

// A vector's versions for this thread's columns.
struct Elements {
  Half plus, minus;
};

// One consumer thread.
template <bool kPerturbed>
struct Worker {
  const ModelView& model;
  const HopperMemory& memory;
  Shared& shared;
  uint32_t group, thread, lane, warp;
  uint32_t q;               // place within the four threads that share two rows
  uint32_t tile_place[2];   // of this thread's chunks in a half tile, row r
  uint32_t next_stage = 0;  // position in the endless stream of stages
  const uint4* noise;       // of this thread's pair; unit u at noise[u * kPairs]
  int32_t sigma;

  // The residual lies where h lay, or will lie.
  enum TileName : uint32_t { kXTile, kStateTile, kGatedTile, kResidualTile = kStateTile };
  __device__ uint32_t Tile(uint32_t tile) const { return SharedAddress(shared.tiles[group][tile]); }

  // --- Products -------------------------------------------------------------------------------

  // acc (+)= half tile at `a` times the next stage.
  __device__ void Multiply(int32_t (&acc)[64], uint32_t a, bool accumulate) {
    const uint32_t slot = next_stage % kRing;
    BarrierWait(SharedAddress(&shared.full[slot]), next_stage / kRing & 1);
    const uint64_t da = TileDescriptor(a), db = TileDescriptor(SharedAddress(shared.ring[slot]));
    WgmmaFence();
#pragma unroll
    for (uint32_t k = 0; k < 4; ++k) Wgmma(acc, da + 2 * k, db + 2 * k, accumulate || k != 0);
    ++next_stage;
  }

  // Waits for all products, then gives their `stages` stages back.
  __device__ void Finish(uint32_t stages) {
    WgmmaWait();
    if (lane == 0)
      for (uint32_t s = next_stage - stages; s != next_stage; ++s)
        BarrierArrive(SharedAddress(&shared.empty[s % kRing]));
  }

  // --- A thread's own rows ----------------------------------------------------------------------

  __device__ void StoreTile(uint32_t tile, uint32_t half, uint32_t row, const Half& v) const {
    int8_t* base = shared.tiles[group][tile] + half * kHalfTile + row * 1024;
#pragma unroll
    for (uint32_t c = 0; c < 2; ++c) *reinterpret_cast<uint4*>(base + tile_place[c]) = Piece(v, c);
  }
  __device__ Half LoadTile(uint32_t tile, uint32_t half, uint32_t row) const {
    const int8_t* base = shared.tiles[group][tile] + half * kHalfTile + row * 1024;
    Half v;
#pragma unroll
    for (uint32_t c = 0; c < 2; ++c)
      Spread(v, c, *reinterpret_cast<const uint4*>(base + tile_place[c]));
    return v;
  }
  // Matrix products may read what was stored to tiles.
  __device__ void PublishTiles() const {
    ProxyFence();
    NamedBarrier(1 + group, kGroupThreads);
  }

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
  __device__ static void StoreRows(uint4* rows, uint32_t half, uint32_t row, const Half& v) {
#pragma unroll
    for (uint32_t c = 0; c < 2; ++c) rows[(half * 4 + row * 2 + c) * kGroupThreads] = Piece(v, c);
  }
  __device__ static Half LoadRows(const uint4* rows, uint32_t half, uint32_t row) {
    Half v;
#pragma unroll
    for (uint32_t c = 0; c < 2; ++c) Spread(v, c, rows[(half * 4 + row * 2 + c) * kGroupThreads]);
    return v;
  }

  // --- Noise ------------------------------------------------------------------------------------

  // Loading a unit takes long, so it starts before the products whose results the bits perturb;
  // Mine then waits for it and picks this thread's bits: bit 8 j + b of word g is column
  // 32 g + 8 j + 2 q + b.
  __device__ uint4 LoadUnit(uint32_t unit) const {
    return kPerturbed ? noise[unit * kPairs] : uint4{};
  }
  __device__ uint4 Mine(uint4 unit) const {
    return {unit.x >> 2 * q, unit.y >> 2 * q, unit.z >> 2 * q, unit.w >> 2 * q};
  }

  __device__ static uint32_t Bits(uint4 unit, uint32_t i) {
    const uint32_t g = i / 2;
    return (g == 0 ? unit.x : g == 1 ? unit.y : g == 2 ? unit.z : unit.w) >> (i & 1);
  }

  __device__ Elements LoadElements(const int8_t* vector, uint32_t half) const {
    Elements e;
#pragma unroll
    for (uint32_t c = 0; c < 2; ++c) {
      const int8_t* at = vector + half * 128 + q * 32 + c * 16;
      const uint32_t first = kPerturbed ? kPlus : kPlain, second = kPerturbed ? kMinus : kPlain;
      Spread(e.plus, c, __ldg(reinterpret_cast<const uint4*>(at + first * kHopperHidden)));
      Spread(e.minus, c, __ldg(reinterpret_cast<const uint4*>(at + second * kHopperHidden)));
    }
    return e;
  }
  // Elements i as members + and - have them.
  __device__ static void Perturb(const Elements& e, uint4 unit, uint32_t i, uint32_t (&v)[2]) {
    const uint32_t mask = kPerturbed ? MaskBytes(Bits(unit, i)) : 0;
    v[0] = (e.plus.r[i] & ~mask) | (e.minus.r[i] & mask);
    v[1] = (e.minus.r[i] & ~mask) | (e.plus.r[i] & mask);
  }

  // Adds B . x of four columns to the dots of both members.
  __device__ static void AddDots(uint4 unit, uint32_t i, uint32_t x0, uint32_t x1,
                                 int32_t (&dots)[2]) {
    if (!kPerturbed) return;
    const uint32_t signs = SignBytes(Bits(unit, i));
    dots[0] = Dot(x0, signs, dots[0]);
    dots[1] = Dot(x1, signs, dots[1]);
  }
  __device__ static int32_t RowSum(int32_t v) {
    v += __shfl_xor_sync(0xFFFFFFFFu, v, 1);
    return v + __shfl_xor_sync(0xFFFFFFFFu, v, 2);
  }
  // From a thread's share of both dots to sigma * sign * dot.
  __device__ void FinishDots(int32_t (&dots)[2]) const {
    if (!kPerturbed) return;
    dots[0] = RowSum(dots[0]) * sigma;
    dots[1] = RowSum(dots[1]) * -sigma;
  }

  // Sums of four columns of one row with their perturbation.
  __device__ static void Perturbed4(const int32_t (&acc)[64], uint32_t i, uint32_t row,
                                    uint32_t signs, int32_t dot, int32_t (&v)[4]) {
#pragma unroll
    for (uint32_t j = 0; j < 4; ++j) v[j] = acc[4 * (4 * (i / 2) + j) + 2 * row + i % 2];
    if (!kPerturbed) return;
    v[0] += dot * static_cast<int32_t>(Permute<0x8880>(signs, 0));
    v[1] += dot * static_cast<int32_t>(Permute<0x9991>(signs, 0));
    v[2] += dot * static_cast<int32_t>(Permute<0xAAA2>(signs, 0));
    v[3] += dot * static_cast<int32_t>(Permute<0xBBB3>(signs, 0));
  }

  // GateSum of four columns: two products and a bias.
  __device__ static uint32_t GateSum4(const int32_t (&x)[4], const int32_t (&h)[4], uint32_t bias) {
    const uint32_t low = Add16(UpperBytes16(Pack16(x[1], x[0])), UpperBytes16(Pack16(h[1], h[0])));
    const uint32_t high = Add16(UpperBytes16(Pack16(x[3], x[2])), UpperBytes16(Pack16(h[3], h[2])));
    return Bytes16(Saturate16(Add16(low, Low16(bias))), Saturate16(Add16(high, High16(bias))));
  }

  __device__ static uint32_t Sat4(const int32_t (&v)[4]) {
    return UpperBytes(Pack16(v[1], v[0]), Pack16(v[3], v[2]));
  }

  // --- The model --------------------------------------------------------------------------------

  __device__ const int8_t* Vector(uint32_t layer, LayerVector which) const {
    return memory.vectors + (layer * kLayerVectors + which) * kVectorBytes;
  }

  // Residual = embedding rows of both members' tokens; magnitudes = their sums |x| (a thread's).
  __device__ void Embed(const uint32_t (&tokens)[2], uint32_t pair, uint32_t noise_step,
                        int32_t (&magnitudes)[2]) const {
    magnitudes[0] = magnitudes[1] = 0;
#pragma unroll 1
    for (uint32_t half = 0; half < 2; ++half) {
      Half x[2];
      const Elements e = LoadElements(memory.embedding + tokens[0] * kVectorBytes, half);
      if (kPerturbed) {
        const core::Word4 block = core::NoiseBlock(model.seed, noise_step, pair, 0,
                                                   core::Factor::kA, 0, 2 * tokens[0] + half);
        const uint4 bits{block.w0 >> 2 * q, block.w1 >> 2 * q, block.w2 >> 2 * q,
                         block.w3 >> 2 * q};
#pragma unroll
        for (uint32_t i = 0; i < 8; ++i) {
          uint32_t v[2];
          Perturb(e, bits, i, v);
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
        StoreTile(kResidualTile, half, row, x[row]);
      }
    }
  }

  // x tile = norm(residual), with the dots of the one or two matrices that read it. With kKeep the
  // residual moves to its own rows, for its tile is about to hold the state.
  template <uint32_t kMatrices, bool kKeep>
  __device__ void Norm(const int8_t* gains, uint32_t gain_unit, const int32_t (&magnitudes)[2],
                       uint32_t b_unit0, uint32_t b_unit1, int32_t (&dots)[kMatrices][2]) const {
    uint4 gain_bits[2], b_bits[2][kMatrices];
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      gain_bits[half] = LoadUnit(gain_unit + half);
      b_bits[half][0] = LoadUnit(b_unit0 + half);
      if (kMatrices == 2) b_bits[half][kMatrices - 1] = LoadUnit(b_unit1 + half);
    }
    NormDivision division[2];
#pragma unroll
    for (uint32_t row = 0; row < 2; ++row)
      division[row] = DivisionBy(core::NormDivisor(RowSum(magnitudes[row]), kHopperHidden));
#pragma unroll
    for (uint32_t m = 0; m < kMatrices; ++m) dots[m][0] = dots[m][1] = 0;
    NamedBarrier(1 + group, kGroupThreads);  // products that read the tile are over
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      const Elements e = LoadElements(gains, half);
      const uint4 bits = Mine(gain_bits[half]);
      uint4 b[kMatrices];
#pragma unroll
      for (uint32_t m = 0; m < kMatrices; ++m) b[m] = Mine(b_bits[half][m]);
      Half x[2];
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
        x[row] = LoadTile(kResidualTile, half, row);
        if (kKeep) StoreRows(OwnRows(kResidual), half, row, x[row]);
      }
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        uint32_t gain[2];
        Perturb(e, bits, i, gain);
#pragma unroll
        for (uint32_t row = 0; row < 2; ++row)
          x[row].r[i] = Norm4(x[row].r[i], gain[row], division[row]);
#pragma unroll
        for (uint32_t m = 0; m < kMatrices; ++m) AddDots(b[m], i, x[0].r[i], x[1].r[i], dots[m]);
      }
      StoreTile(kXTile, half, 0, x[0]);
      StoreTile(kXTile, half, 1, x[1]);
    }
#pragma unroll
    for (uint32_t m = 0; m < kMatrices; ++m) FinishDots(dots[m]);
  }

  // This thread's part of the recurrent state, by halves and rows.
  struct State {
    Half h[2][2];
    uint4 b[2];  // units of Uf's B
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
  __device__ void PlaceState(const State& state, int32_t (&dots)[2]) const {
    dots[0] = dots[1] = 0;
#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
      const Half(&h)[2] = state.h[half];
      const uint4 b = Mine(state.b[half]);
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) AddDots(b, i, h[0].r[i], h[1].r[i], dots);
      StoreTile(kStateTile, half, 0, h[0]);
      StoreTile(kStateTile, half, 1, h[1]);
    }
    FinishDots(dots);
  }

  // acc_x = x times one matrix, acc_s = tile `state` times another: 128 outputs of each.
  __device__ void MultiplyBoth(int32_t (&acc_x)[64], int32_t (&acc_s)[64], uint32_t state) {
    Multiply(acc_x, Tile(kXTile), false);
    Multiply(acc_x, Tile(kXTile) + kHalfTile, true);
    Multiply(acc_s, Tile(state), false);
    Multiply(acc_s, Tile(state) + kHalfTile, true);
    WgmmaCommit();
  }

  // The forget gate, and g tile = gated state, with Uh's dots.
  __device__ void Forget(uint32_t layer, const int32_t (&dots_x)[2], const int32_t (&dots_h)[2],
                         int32_t (&dots_g)[2]) {
    const uint32_t units = layer * kLayerUnits;
    dots_g[0] = dots_g[1] = 0;
#pragma unroll 1
    for (uint32_t half = 0; half < 2; ++half) {
      uint4 ax = LoadUnit(units + kUnitWfA + half), ah = LoadUnit(units + kUnitUfA + half);
      uint4 bias_bits = LoadUnit(units + kUnitBf + half), b = LoadUnit(units + kUnitUhB + half);
      int32_t acc_x[64], acc_h[64];
      MultiplyBoth(acc_x, acc_h, kStateTile);
      const Elements bias = LoadElements(Vector(layer, kVectorBf), half);
      const Half h[2] = {LoadTile(kStateTile, half, 0), LoadTile(kStateTile, half, 1)};
      Finish(4);
      ax = Mine(ax), ah = Mine(ah), bias_bits = Mine(bias_bits), b = Mine(b);
      Half gate[2], gated[2];
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        const uint32_t sx = SignBytes(Bits(ax, i)), sh = SignBytes(Bits(ah, i));
        uint32_t biases[2];
        Perturb(bias, bias_bits, i, biases);
#pragma unroll
        for (uint32_t row = 0; row < 2; ++row) {
          int32_t x[4], s[4];
          Perturbed4(acc_x, i, row, sx, dots_x[row], x);
          Perturbed4(acc_h, i, row, sh, dots_h[row], s);
          gate[row].r[i] = GateSum4(x, s, biases[row]) ^ 0x80808080u;  // f + 128
          gated[row].r[i] = GatedState4(gate[row].r[i], h[row].r[i]);
        }
        AddDots(b, i, gated[0].r[i], gated[1].r[i], dots_g);
      }
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
        StoreRows(OwnRows(kGate), half, row, gate[row]);
        StoreTile(kGatedTile, half, row, gated[row]);
      }
    }
    FinishDots(dots_g);
  }

  // The candidate, the next state, and residual = next state + residual.
  __device__ void Advance(uint32_t layer, const int32_t (&dots_x)[2], const int32_t (&dots_g)[2],
                          int32_t (&magnitudes)[2]) {
    const uint32_t units = layer * kLayerUnits;
    magnitudes[0] = magnitudes[1] = 0;
#pragma unroll 1
    for (uint32_t half = 0; half < 2; ++half) {
      uint4 ax = LoadUnit(units + kUnitWhA + half), ag = LoadUnit(units + kUnitUhA + half);
      uint4 bias_bits = LoadUnit(units + kUnitBh + half);
      int32_t acc_x[64], acc_g[64];
      MultiplyBoth(acc_x, acc_g, kGatedTile);
      const Elements bias = LoadElements(Vector(layer, kVectorBh), half);
      Finish(4);
      ax = Mine(ax), ag = Mine(ag), bias_bits = Mine(bias_bits);
      Half gate[2], x[2];
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
        gate[row] = LoadRows(OwnRows(kGate), half, row);
        x[row] = LoadRows(OwnRows(kResidual), half, row);
      }
      Half c[2];
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        const uint32_t sx = SignBytes(Bits(ax, i)), sg = SignBytes(Bits(ag, i));
        uint32_t biases[2];
        Perturb(bias, bias_bits, i, biases);
#pragma unroll
        for (uint32_t row = 0; row < 2; ++row) {
          int32_t from_x[4], from_g[4];
          Perturbed4(acc_x, i, row, sx, dots_x[row], from_x);
          Perturbed4(acc_g, i, row, sg, dots_g[row], from_g);
          c[row].r[i] = GateSum4(from_x, from_g, biases[row]);
        }
      }
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
        const Half h = LoadTile(kStateTile, half, row);
#pragma unroll
        for (uint32_t i = 0; i < 8; ++i) {
          c[row].r[i] = NextState4(gate[row].r[i], c[row].r[i], h.r[i]);
          x[row].r[i] = Residual4(c[row].r[i], x[row].r[i]);
          magnitudes[row] = AddMagnitudes(x[row].r[i], magnitudes[row]);
        }
        StoreRows(StateRows(layer), half, row, c[row]);
        StoreTile(kResidualTile, half, row, x[row]);
      }
    }
  }

  // Residual += half of W2's outputs, in `acc`.
  __device__ void AddMlp(const int32_t (&acc)[64], uint32_t half, uint4 a, const int32_t (&dots)[2],
                         int32_t (&magnitudes)[2]) const {
#pragma unroll
    for (uint32_t row = 0; row < 2; ++row) {
      Half x = LoadTile(kResidualTile, half, row);
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        int32_t v[4];
        Perturbed4(acc, i, row, SignBytes(Bits(a, i)), dots[row], v);
#pragma unroll
        for (uint32_t j = 0; j < 4; ++j) v[j] >>= 1;  // W2 divides by 512
        x.r[i] = Residual4(Sat4(v), x.r[i]);
        magnitudes[row] = AddMagnitudes(x.r[i], magnitudes[row]);
      }
      StoreTile(kResidualTile, half, row, x);
    }
  }

  // Residual += W2 W1 x. The 1,024 hidden values pass through two half tiles, 128 at a time.
  __device__ void Mlp(uint32_t layer, const int32_t (&dots_x)[2], int32_t (&magnitudes)[2]) {
    const uint32_t units = layer * kLayerUnits;
    int32_t out0[64], out1[64];
    int32_t dots[2] = {0, 0};
#pragma unroll 1
    for (uint32_t chunk = 0; chunk < 8; ++chunk) {
      uint4 a = LoadUnit(units + kUnitW1A + chunk), b = LoadUnit(units + kUnitW2B + chunk);
      int32_t acc[64];
      Multiply(acc, Tile(kXTile), false);
      Multiply(acc, Tile(kXTile) + kHalfTile, true);
      WgmmaCommit();
      Finish(chunk == 0 ? 2 : 4);
      a = Mine(a), b = Mine(b);
      Half v[2];
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) {
        const uint32_t signs = SignBytes(Bits(a, i));
#pragma unroll
        for (uint32_t row = 0; row < 2; ++row) {
          int32_t sums[4];
          Perturbed4(acc, i, row, signs, dots_x[row], sums);
          v[row].r[i] = Sat4(sums);
        }
        AddDots(b, i, v[0].r[i], v[1].r[i], dots);
      }
      StoreTile(kGatedTile, chunk & 1, 0, v[0]);
      StoreTile(kGatedTile, chunk & 1, 1, v[1]);
      PublishTiles();
      Multiply(out0, Tile(kGatedTile) + (chunk & 1) * kHalfTile, chunk != 0);
      Multiply(out1, Tile(kGatedTile) + (chunk & 1) * kHalfTile, chunk != 0);
      WgmmaCommit();
    }
    const uint4 a0 = LoadUnit(units + kUnitW2A), a1 = LoadUnit(units + kUnitW2A + 1);
    FinishDots(dots);
    Finish(2);
    magnitudes[0] = magnitudes[1] = 0;
    AddMlp(out0, 0, Mine(a0), dots, magnitudes);
    AddMlp(out1, 1, Mine(a1), dots, magnitudes);
  }

  // What the scorer needs of both rows' logits.
  struct Logits {
    uint32_t terms[2];  // softmax sums
    int32_t target[2];  // logit of the target
    uint32_t first[2];  // unperturbed only: the first column whose logit is largest
  };

  __device__ Logits Head(const int32_t (&dots_x)[2], const uint32_t (&targets)[2]) {
    const uint32_t units = model.layers * kLayerUnits;
    Logits out{};
    uint32_t best[2] = {0, 0};  // (logit + 128) * 256 + 255 - column
#pragma unroll 1
    for (uint32_t half = 0; half < 2; ++half) {
      uint4 a = LoadUnit(units + kUnitHeadA + half);
      int32_t acc[64];
      Multiply(acc, Tile(kXTile), false);
      Multiply(acc, Tile(kXTile) + kHalfTile, true);
      WgmmaCommit();
      Finish(2);
      a = Mine(a);
#pragma unroll
      for (uint32_t row = 0; row < 2; ++row) {
        const uint32_t column = targets[row] & 127;
        const bool mine = targets[row] >> 7 == half && (column >> 1 & 3) == q;
        const uint32_t place = 2 * (column >> 5) + (column & 1);
#pragma unroll
        for (uint32_t i = 0; i < 8; ++i) {
          int32_t v[4];
          Perturbed4(acc, i, row, SignBytes(Bits(a, i)), dots_x[row], v);
          const uint32_t logits = Sat4(v) ^ 0x80808080u;  // + 128
#pragma unroll
          for (uint32_t j = 0; j < 4; ++j) {
            const uint32_t logit = logits >> 8 * j & 0xFF;
            out.terms[row] += shared.exp2[logit];
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
#pragma unroll
    for (uint32_t row = 0; row < 2; ++row) {
      out.terms[row] = static_cast<uint32_t>(RowSum(static_cast<int32_t>(out.terms[row])));
      out.target[row] = RowSum(out.target[row]) - 128;
      best[row] = max(best[row], __shfl_xor_sync(0xFFFFFFFFu, best[row], 1));
      best[row] = max(best[row], __shfl_xor_sync(0xFFFFFFFFu, best[row], 2));
      out.first[row] = 255 - (best[row] & 0xFF);
    }
    return out;
  }

  // All layers of one token and the head.
  __device__ Logits Step(const uint32_t (&tokens)[2], const uint32_t (&targets)[2], bool first,
                         uint32_t pair, uint32_t noise_step) {
    int32_t magnitudes[2];
    Embed(tokens, pair, noise_step, magnitudes);
#pragma unroll 1
    for (uint32_t layer = 0; layer < model.layers; ++layer) {
      const uint32_t units = layer * kLayerUnits;
      int32_t dots[2][2], dots_h[2], dots_g[2], dots_y[1][2];
      const State state = LoadState(layer, first);
      Norm<2, true>(Vector(layer, kVectorNorm1), units + kUnitNorm1, magnitudes, units + kUnitWfB,
                    units + kUnitWhB, dots);
      PlaceState(state, dots_h);
      PublishTiles();
      Forget(layer, dots[0], dots_h, dots_g);
      PublishTiles();
      Advance(layer, dots[1], dots_g, magnitudes);
      Norm<1, false>(Vector(layer, kVectorNorm2), units + kUnitNorm2, magnitudes, units + kUnitW1B,
                     0, dots_y);
      PublishTiles();
      Mlp(layer, dots_y[0], magnitudes);
    }
    const uint32_t units = model.layers * kLayerUnits;
    int32_t dots[1][2];
    Norm<1, false>(Vector(model.layers, kVectorNorm1), units + kUnitNormOut, magnitudes,
                   units + kUnitHeadB, 0, dots);
    PublishTiles();
    return Head(dots[0], targets);
  }
};

// Draws the noise bits of the block's pairs, all units but the embedding's.
__device__ void DrawNoise(const ModelView& model, uint32_t noise_step, uint32_t first_pair,
                          uint32_t thread, uint4* noise) {
  for (uint32_t i = thread; i < UnitsOf(model.layers) * kPairs; i += kGroups * kGroupThreads) {
    const UnitName name = NameOfUnit(i / kPairs, model.layers);
    const core::Word4 bits = core::NoiseBlock(model.seed, noise_step, first_pair + i % kPairs,
                                              name.tensor, name.factor, 0, name.block);
    noise[i] = {bits.w0, bits.w1, bits.w2, bits.w3};
  }
}

// Streams every token's stages into the ring.
__device__ void Produce(const HopperMemory& memory, Shared& shared, uint32_t stages,
                        uint64_t passes) {
  const uint32_t ring = SharedAddress(shared.ring), full = SharedAddress(shared.full),
                 empty = SharedAddress(shared.empty);
  uint32_t position = 0;
  for (uint64_t pass = 0; pass < passes; ++pass) {
    for (uint32_t stage = 0; stage < stages; ++stage, ++position) {
      const uint32_t slot = position % kRing;
      BarrierWait(empty + 8 * slot, (position / kRing & 1) ^ 1);
      BarrierExpect(full + 8 * slot, kStageBytes);
      BulkCopy(ring + slot * kStageBytes, memory.stages + size_t{stage} * kStageBytes, kStageBytes,
               full + 8 * slot);
    }
  }
}

template <bool kPerturbed>
__device__ void Consume(const ModelView& model, const Sequences& sequences,
                        const HopperMemory& memory, Shared& shared, uint32_t tiles) {
  // The shuffle tells the compiler that a warp agrees on it, so addresses fit uniform registers.
  const uint32_t group = __shfl_sync(0xFFFFFFFFu, threadIdx.x / kGroupThreads, 0);
  const uint32_t thread = threadIdx.x % kGroupThreads;
  const uint32_t lane = thread % 32, warp = thread / 32, q = lane % 4, g = lane / 4;
  uint4* noise = memory.noise + size_t{blockIdx.x} * UnitsOf(model.layers) * kPairs;
  const uint32_t pair_place = 32 * group + 8 * warp + g;
  const uint32_t row_place = (16 * warp + g) * 128;
  Worker<kPerturbed> worker{model,
                            memory,
                            shared,
                            group,
                            thread,
                            lane,
                            warp,
                            q,
                            {row_place + ((2 * q) ^ g) * 16, row_place + ((2 * q + 1) ^ g) * 16},
                            0,
                            noise + pair_place,
                            16 >> model.sigma_shift};
  for (uint32_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    if (kPerturbed) {
      NamedBarrier(kGroups + 1, kGroups * kGroupThreads);  // the last tile's noise is done with
      DrawNoise(model, sequences.noise_step, sequences.first_pair + tile * kPairs, threadIdx.x,
                noise);
      NamedBarrier(kGroups + 1, kGroups * kGroupThreads);
    }
    // Rows past the end repeat the last sequence; nobody reads their results.
    const uint32_t sequence = 2 * (tile * kPairs + pair_place);
    const uint32_t last = sequences.count - 1;
    const uint32_t rows[2] = {min(sequence, last), min(sequence + 1, last)};
    const uint32_t pair = sequences.first_pair + rows[0] / 2;
    const uint8_t* bytes[2];
    if (kPerturbed) {
      bytes[0] = bytes[1] = sequences.bytes + core::WindowOffset(model.seed, sequences.step,
                                                                 pair / sequences.pairs_per_group,
                                                                 sequences.positions);
    } else {
      for (uint32_t r = 0; r < 2; ++r) bytes[r] = sequences.bytes + rows[r] * sequences.stride;
    }
    SequenceSums sums[2] = {};
    uint32_t tokens[2] = {bytes[0][0], bytes[1][0]};
    for (uint32_t at = 0; at < sequences.tokens; ++at) {
      const uint32_t targets[2] = {bytes[0][at + 1], bytes[1][at + 1]};
      const auto logits = worker.Step(tokens, targets, at == 0, pair, sequences.noise_step);
#pragma unroll
      for (uint32_t r = 0; r < 2; ++r) {
        tokens[r] = targets[r];
        if (at < sequences.unscored) continue;
        sums[r].score += core::TokenScore(logits.target[r], logits.terms[r]);
        if (kPerturbed) continue;
        sums[r].coarse_score += core::CoarseTokenScore(logits.target[r], logits.terms[r]);
        sums[r].correct += logits.first[r] == targets[r];
      }
    }
    for (uint32_t r = 0; r < 2; ++r) {
      if (q != r || sequence + r > last) continue;
      if (sequences.scores != nullptr)
        sequences.scores[sequence + r] = static_cast<int32_t>(sums[r].score);
      if (sequences.sums != nullptr) sequences.sums[sequence + r] = sums[r];
    }
  }
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

template <bool kPerturbed>
__global__ void __launch_bounds__(kThreads, 1)
    HopperKernel(const __grid_constant__ ModelView model,
                 const __grid_constant__ Sequences sequences,
                 const __grid_constant__ HopperMemory memory) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ int8_t raw[];
  Shared& shared = *reinterpret_cast<Shared*>(raw + (-SharedAddress(raw) & 1023));
  for (uint32_t i = threadIdx.x; i < core::kVocabulary; i += kThreads)
    shared.exp2[i] = core::Exp2Table(i);
  if (threadIdx.x == 0) {
    for (uint32_t slot = 0; slot < kRing; ++slot) {
      BarrierInit(SharedAddress(&shared.full[slot]), 1);
      BarrierInit(SharedAddress(&shared.empty[slot]), kGroups * 4);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  const uint32_t tiles = (sequences.count + kHopperMembers - 1) / kHopperMembers;
  if (threadIdx.x >= kGroups * kGroupThreads) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x == kGroups * kGroupThreads && blockIdx.x < tiles) {
      const uint64_t mine = (tiles - blockIdx.x + gridDim.x - 1) / gridDim.x;
      Produce(memory, shared, StagesOf(model.layers), mine * sequences.tokens);
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    Consume<kPerturbed>(model, sequences, memory, shared, tiles);
  }
#endif
}

// Where stage `s` of a layer (or of the head, after all layers) begins.
struct StageName {
  uint32_t tensor, row, column, columns;
};
__device__ StageName NameOfStage(uint32_t stage, uint32_t layers) {
  const uint32_t layer = stage / kLayerStages, s = stage % kLayerStages;
  constexpr uint32_t kD = kHopperHidden;
  const uint32_t k = s % 2 * 128;
  if (layer == layers) return {HeadTensor(layers), s / 2 * 128, k, kD};
  if (s < 16) {
    const bool of_state = s % 4 >= 2;
    const LayerPlace place = s < 8 ? (of_state ? kUf : kWf) : (of_state ? kUh : kWh);
    return {LayerTensor(layer, place), s % 8 / 4 * 128, k, kD};
  }
  const uint32_t chunk = (s - 16) / 4;
  if (s % 4 < 2) return {LayerTensor(layer, kW1), chunk * 128, k, kD};
  return {LayerTensor(layer, kW2), s % 2 * 128, chunk * 128, core::kMlpExpansion * kD};
}

__global__ void PackStages(const __grid_constant__ ModelView model, int8_t* stages) {
  const StageName name = NameOfStage(blockIdx.x, model.layers);
  const int8_t* matrix = model.weights + model.offsets[name.tensor];
  for (uint32_t i = threadIdx.x; i < kStageBytes; i += blockDim.x) {
    const uint32_t n = i / 128, position = i % 128;
    const uint32_t swizzled = n * 128 + ((position / 16) ^ (n % 8)) * 16 + position % 16;
    stages[size_t{blockIdx.x} * kStageBytes + swizzled] =
        matrix[uint64_t{name.row + n} * name.columns + name.column + ColumnAt(position)];
  }
}

// Vector blockIdx.x: layers' vectors and norm_out, then the embedding's rows.
__global__ void PackVectors(const __grid_constant__ ModelView model, int8_t* vectors,
                            int8_t* embedding) {
  constexpr LayerPlace kPlaceOf[kLayerVectors] = {kNorm1, kBf, kBh, kNorm2};
  const uint32_t layer_vectors = model.layers * kLayerVectors;
  const uint32_t v = blockIdx.x;
  const bool embedded = v > layer_vectors;
  const uint32_t row = embedded ? v - layer_vectors - 1 : 0;
  const uint32_t tensor = embedded ? 0
                          : v == layer_vectors
                              ? NormOutTensor(model.layers)
                              : LayerTensor(v / kLayerVectors, kPlaceOf[v % kLayerVectors]);
  int8_t* out = embedded ? embedding + row * kVectorBytes : vectors + v * kVectorBytes;
  const uint32_t column = threadIdx.x / 128 * 128 + ColumnAt(threadIdx.x % 128);
  const int32_t w = model.weights[model.offsets[tensor] + row * kHopperHidden + column];
  const int32_t sigma = 16 >> model.sigma_shift;
  out[kPlus * kHopperHidden + threadIdx.x] = static_cast<int8_t>(core::ClipWeight(w + sigma));
  out[kMinus * kHopperHidden + threadIdx.x] = static_cast<int8_t>(core::ClipWeight(w - sigma));
  out[kPlain * kHopperHidden + threadIdx.x] = static_cast<int8_t>(w);
}

template <bool kPerturbed>
cudaError_t Launch(const ModelView& model, const Sequences& sequences, uint32_t blocks,
                   const HopperMemory& memory) {
  const cudaError_t error =
      cudaFuncSetAttribute(HopperKernel<kPerturbed>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(kSharedBytes));
  if (error != cudaSuccess) return error;
  HopperKernel<kPerturbed><<<blocks, kThreads, kSharedBytes>>>(model, sequences, memory);
  return cudaGetLastError();
}

}  // namespace

HopperSizes SizesFor(uint32_t layers, uint32_t blocks) {
  const size_t rows = size_t{blocks} * kGroups * kRowChunks * kGroupThreads;
  return {size_t{StagesOf(layers)} * kStageBytes,
          (size_t{layers} * kLayerVectors + 1) * kVectorBytes,
          size_t{core::kVocabulary} * kVectorBytes,
          size_t{blocks} * UnitsOf(layers) * kPairs,
          rows * layers,
          rows * 2};
}

bool HopperFits(const ModelView& model, int major, int minor) {
  return major == 9 && minor == 0 && model.hidden == kHopperHidden && model.rank == 1 &&
         model.noise == core::Noise::kRademacher;
}

cudaError_t HopperPack(const ModelView& model, const HopperMemory& memory) {
  PackStages<<<StagesOf(model.layers), 256>>>(model, memory.stages);
  PackVectors<<<model.layers * kLayerVectors + 1 + core::kVocabulary, kHopperHidden>>>(
      model, memory.vectors, memory.embedding);
  return cudaGetLastError();
}

cudaError_t HopperEvaluate(const ModelView& model, const Sequences& sequences, uint32_t blocks,
                           const HopperMemory& memory) {
  return sequences.perturbed ? Launch<true>(model, sequences, blocks, memory)
                             : Launch<false>(model, sequences, blocks, memory);
}

}  // namespace hatchery::cuda

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Evaluation on the tensor cores of Ampere and later (mma.sync), for every hidden size that is a
// multiple of 32, any rank and both kinds of noise. A block carries 32 sequences, or 16 of a wide
// model, through all tokens and layers; their activations stay in shared memory.
//
// It alternates between two phases with a barrier between them. In products a warp computes 32
// outputs of all sequences, weights straight from L2. In row phases a warp takes a pair of
// sequences: norms, gates, and the dot products B x that the next product's perturbation needs.
// Sequences 2 p and 2 p + 1 are rows r and r + 8 of a 16-row product, so that one thread finishes
// both and reads their noise once. Noise and perturbed vectors are drawn once for all tokens and
// lie in L2. mma_layout.cuh says where in them what lies, mma_pack.cu lays the weights out.
#include <cuda_runtime.h>

#include <initializer_list>

#include "kernels/core/score.h"
#include "kernels/core/window.h"
#include "kernels/cuda/division.h"
#include "kernels/cuda/evaluate_mma.h"
#include "kernels/cuda/matmul_division.h"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/mma_layout.cuh"
#include "kernels/cuda/packed.cuh"

namespace hatchery::cuda {
using namespace mma;
namespace {

constexpr uint32_t kAhead = 2;  // fragments under way to a thread's registers
constexpr uint32_t kPad = 16;   // bytes between rows, so that eight rows lie in different banks
constexpr uint32_t kManyRows = 32, kFewRows = 16;  // sequences of a block, the most that fit
constexpr uint32_t kThreadsAtOnce = 768;           // of a multiprocessor, in one to three blocks
constexpr uint32_t kDotSlots = 2;                  // products of a phase
constexpr uint32_t kPiece = 16;                    // elements of a vector that a thread draws
constexpr uint32_t kAll = 0xFFFFFFFFu;

enum class Draw { kNone, kRademacher, kGaussian };

__host__ __device__ constexpr uint32_t WideOf(uint32_t hidden) {
  return core::kMlpExpansion * hidden < core::kVocabulary ? core::kVocabulary
                                                          : core::kMlpExpansion * hidden;
}
__host__ __device__ constexpr uint32_t SharedBytes(uint32_t rows, uint32_t hidden, uint32_t rank) {
  return rows * (4 * (hidden + kPad) + WideOf(hidden) + kPad +
                 kDotSlots * rank * static_cast<uint32_t>(sizeof(int32_t)));
}

// Rows of activations, `stride` bytes apart.
struct Tile {
  int8_t* base;
  uint32_t stride;
  __device__ int8_t* Row(uint32_t row) const { return base + row * stride; }
  __device__ uint32_t& Word(uint32_t row, uint32_t column) const {
    return *reinterpret_cast<uint32_t*>(base + row * stride + column);
  }
  __device__ Tile From(uint32_t column) const { return {base + column, stride}; }
};

// Bits 4 j + b to bits 8 b + j: those of four neighbours are at one place of each byte.
__device__ inline uint32_t SpreadBits(uint32_t word) {
  uint32_t spread = 0;
#pragma unroll
  for (uint32_t j = 0; j < 8; ++j)
    spread |= ((word >> 4 * j & 0xF) * 0x00204081u & 0x01010101u) << j;
  return spread;
}

// sat(x + s + bias) of four bytes each.
__device__ inline uint32_t GateSums4(uint32_t x, uint32_t s, uint32_t bias) {
  const auto sum = [](uint32_t a, uint32_t b, uint32_t c) {
    return __vmins2(__vmaxs2(__vadd2(__vadd2(a, b), c), 0xFF80FF80u), 0x007F007Fu);
  };
  return Bytes16(sum(Low16(x), Low16(s), Low16(bias)), sum(High16(x), High16(s), High16(bias)));
}

// What a block's threads share about a row.
struct RowState {
  const uint8_t* bytes;
  long long score, coarse_score;
  unsigned long long correct;
};

// By the divisors of the two lengths of inputs.
struct Divisions {
  MatmulDivision narrow, wide;
};

// `kRows` sequences, one a row: a multiple of the 16 rows of a product.
template <Draw kDraw, uint32_t kRows>
struct Block {
  const ModelView& model;
  const Sequences& sequences;
  const int8_t* weights;
  uint32_t* noise;  // of this block, as are those below
  int8_t *vectors, *states;
  uint32_t first;  // sequence
  Divisions divisions;
  Tile x, normed, h, f, wide;
  int32_t* dots;  // slot, rank, row
  RowState* row_states;

  static constexpr uint32_t kPairs = kRows / 2, kTiles = kRows / 16;
  static constexpr bool kPerturbed = kDraw != Draw::kNone;
  static constexpr core::Noise kNoise =
      kDraw == Draw::kGaussian ? core::Noise::kGaussian : core::Noise::kRademacher;
  static constexpr uint32_t kWords = WordsPerChunk(kNoise);

  __device__ uint32_t Lane() const { return threadIdx.x % 32; }
  __device__ uint32_t Warp() const { return threadIdx.x / 32; }
  __device__ uint32_t Warps() const { return blockDim.x / 32; }
  // Row of sequence 2 p + s, and the reverse.
  static __device__ uint32_t RowOf(uint32_t pair, uint32_t s) {
    return 16 * (pair / 8) + 8 * s + pair % 8;
  }
  static __device__ uint32_t SequenceOf(uint32_t row) {
    return 2 * (row / 16 * 8 + row % 8) + row / 8 % 2;
  }
  static __device__ int32_t SignOf(uint32_t row) { return row / 8 % 2 != 0 ? -1 : 1; }
  // Of a row's pair; a row past the last sequence computes like it and is not written.
  __device__ uint32_t NoisePair(uint32_t pair) const {
    return sequences.first_pair + min(first / 2 + pair, (sequences.count - 1) / 2);
  }
  __device__ uint32_t* NoiseAt(uint32_t chunk, uint32_t pair) const {
    return noise + (size_t{chunk} * kPairs + pair) * kWords;
  }
  __device__ int8_t* VectorAt(uint32_t vector, uint32_t row) const {
    return vectors + (size_t{vector} * kRows + row) * model.hidden;
  }
  __device__ int8_t* StateAt(uint32_t layer, uint32_t row) const {
    return states + (size_t{layer} * kRows + row) * model.hidden;
  }

  __device__ core::Word4 Bits(uint32_t pair, uint32_t tensor, core::Factor factor, uint32_t rank,
                              uint32_t block) const {
    return core::NoiseBlock(model.seed, sequences.noise_step, NoisePair(pair), tensor, factor, rank,
                            block);
  }

  // Draws rows of a factor of `chunks` chunks, one for each rank, to noise chunk `to`.
  __device__ void DrawFactor(uint32_t tensor, core::Factor factor, uint32_t chunks,
                             uint32_t to) const {
    const uint32_t blocks = core::BlocksPerRow(kNoise, chunks * kChunk);
    for (uint32_t i = threadIdx.x; i < model.rank * blocks * kPairs; i += blockDim.x) {
      const uint32_t pair = i % kPairs, block = i / kPairs % blocks, rank = i / kPairs / blocks;
      const core::Word4 bits = Bits(pair, tensor, factor, rank, block);
      for (uint32_t w = 0; w < 4; ++w) {
        if constexpr (kDraw == Draw::kRademacher) {
          if (4 * block + w >= chunks) break;
          const uint32_t word = core::WordAt(bits, w);
          *NoiseAt(to + rank * chunks + 4 * block + w, pair) =
              factor == core::Factor::kB ? SpreadBits(word) : word;
        } else {
          uint32_t word = 0;
          for (uint32_t b = 0; b < 4; ++b)
            word |= (static_cast<uint32_t>(core::GaussianValue(bits, 4 * w + b)) & 0xFF) << 8 * b;
          NoiseAt(to + rank * chunks + block / 2, pair)[block % 2 * 4 + w] = word;
        }
      }
    }
  }

  __device__ void DrawNoise() const {
    for (uint32_t layer = 0; layer <= model.layers; ++layer) {
      for (uint32_t m = 0; m < (layer == model.layers ? 1 : kMatrices); ++m) {
        const MatrixPlace place = PlaceOf(model, layer, m);
        DrawFactor(place.tensor, core::Factor::kA, place.outputs, place.noise);
        DrawFactor(place.tensor, core::Factor::kB, place.inputs,
                   place.noise + place.outputs * model.rank);
      }
    }
  }

  // Elements [16 piece, 16 piece + 16) of row `element_row` of a vector or embedding as the
  // sequence of `row` has it.
  __device__ void WritePiece(uint32_t tensor, uint32_t element_row, uint32_t piece, uint32_t row,
                             int8_t* out) const {
    const int8_t* plain =
        model.weights + model.offsets[tensor] + size_t{element_row} * model.hidden + kPiece * piece;
    core::Word4 bits{};
    constexpr uint32_t kPieces = core::ElementsPerBlock(kNoise) / kPiece;  // of a block
    if constexpr (kPerturbed)
      bits = Bits(SequenceOf(row) / 2, tensor, core::Factor::kA, 0,
                  core::BlocksPerRow(kNoise, model.hidden) * element_row + piece / kPieces);
#pragma unroll
    for (uint32_t w = 0; w < kPiece / 4; ++w) {
      uint32_t word = 0;
#pragma unroll
      for (uint32_t b = 0; b < 4; ++b) {
        const uint32_t e = 4 * w + b;
        int32_t v = plain[e];
        if constexpr (kPerturbed)
          v = core::ClipWeight(v +
                               core::ElementPerturbation(
                                   kNoise, model.sigma_shift, SignOf(row),
                                   core::NoiseValue(kNoise, bits, piece % kPieces * kPiece + e)));
        word |= (static_cast<uint32_t>(v) & 0xFF) << 8 * b;
      }
      *reinterpret_cast<uint32_t*>(out + 4 * w) = word;
    }
  }

  // What stays the same for all tokens, and zero states.
  __device__ void Begin() const {
    if constexpr (kPerturbed) DrawNoise();
    const uint32_t pieces = model.hidden / kPiece;
    for (uint32_t i = threadIdx.x; i < Vectors(model) * kRows * pieces; i += blockDim.x) {
      const uint32_t piece = i % pieces, row = i / pieces % kRows, vector = i / pieces / kRows;
      WritePiece(VectorTensor(model, vector), 0, piece, row,
                 VectorAt(vector, row) + kPiece * piece);
    }
    uint32_t* state_words = reinterpret_cast<uint32_t*>(states);
    for (uint32_t i = threadIdx.x; i < model.layers * kRows * model.hidden / 4; i += blockDim.x)
      state_words[i] = 0;
    if (threadIdx.x < kRows) {
      const uint32_t i = min(first + SequenceOf(threadIdx.x), sequences.count - 1);
      const uint64_t offset =
          kPerturbed
              ? core::WindowOffset(model.seed, sequences.step,
                                   (sequences.first_pair + i / 2) / sequences.pairs_per_group,
                                   sequences.positions)
              : i * sequences.stride;
      row_states[threadIdx.x] = {sequences.bytes + offset, 0, 0, 0};
    }
    __syncthreads();
  }

  __device__ void Embed(uint32_t at) const {
    const uint32_t pieces = model.hidden / kPiece;
    for (uint32_t i = threadIdx.x; i < kRows * pieces; i += blockDim.x) {
      const uint32_t piece = i % pieces, row = i / pieces;
      WritePiece(0, row_states[row].bytes[at], piece, row, x.Row(row) + kPiece * piece);
    }
    __syncthreads();
  }

  // Row phases: `visit(pair)` by a warp for each of its pairs.
  template <typename Visit>
  __device__ void ForPairs(Visit visit) const {
    for (uint32_t pair = Warp(); pair < kPairs; pair += Warps()) {
      visit(pair);
      __syncwarp();
    }
    __syncthreads();
  }
  template <typename Visit>
  __device__ void ForWords(uint32_t pair, Visit visit) const {
    for (uint32_t s = 0; s < 2; ++s)
      for (uint32_t c = 4 * Lane(); c < model.hidden; c += 128) visit(RowOf(pair, s), c);
  }

  __device__ void Norm(uint32_t pair, uint32_t vector) const {
    for (uint32_t s = 0; s < 2; ++s) {
      const uint32_t row = RowOf(pair, s);
      int32_t sum = 0;
      for (uint32_t c = 4 * Lane(); c < model.hidden; c += 128)
        sum = AddMagnitudes(Offset4(x.Word(row, c)), sum);
      const int32_t reciprocal =
          ReciprocalOf(core::NormDivisor(__reduce_add_sync(kAll, sum), model.hidden));
      const int8_t* gain = VectorAt(vector, row);
      for (uint32_t c = 4 * Lane(); c < model.hidden; c += 128)
        normed.Word(row, c) =
            Norm4(x.Word(row, c), *reinterpret_cast<const uint32_t*>(gain + c), reciprocal);
    }
  }

  // dots of `slot`: B x for the rows of a pair, signed and scaled as the product adds them.
  __device__ void Dots(uint32_t pair, uint32_t slot, const MatrixPlace& place, Tile in) const {
    if constexpr (kPerturbed) {
      __syncwarp();  // other lanes wrote parts of the rows
      const uint32_t plus = RowOf(pair, 0), minus = RowOf(pair, 1);
      for (uint32_t r = 0; r < model.rank; ++r) {
        const uint32_t chunk = place.noise + place.outputs * model.rank + r * place.inputs;
        int32_t a = 0, b = 0;
        for (uint32_t c = 4 * Lane(); c < place.inputs * kChunk; c += 128) {
          const uint32_t* words = NoiseAt(chunk + c / kChunk, pair);
          const uint32_t j = c / 4 % 8;
          const uint32_t values = kDraw == Draw::kRademacher
                                      ? SignBytes(words[0] >> j)
                                      : words[kDraw == Draw::kGaussian ? j : 0];
          a = Dot(in.Word(plus, c), values, a);
          b = Dot(in.Word(minus, c), values, b);
        }
        const int32_t scale = kDraw == Draw::kRademacher ? 16 >> model.sigma_shift : 1;
        a = __reduce_add_sync(kAll, a) * scale;
        b = __reduce_add_sync(kAll, b) * -scale;
        int32_t* out = dots + (slot * model.rank + r) * kRows;
        if (Lane() == 0) {
          out[plus] = a;
          out[minus] = b;
        }
      }
    }
  }

  // A product of all rows.
  struct Product {
    MatrixPlace place;
    Tile in, out;
  };

  // out = sat(floor((W in + perturbation) / divisor)) for outputs [32 unit, 32 unit + 32).
  __device__ void Multiply(const Product& product, uint32_t slot, uint32_t unit) const {
    const auto& [place, in, out] = product;
    const uint32_t lane = Lane();
    int32_t sums[kTiles][4][4] = {};
    const uint4* from =
        reinterpret_cast<const uint4*>(
            weights + (size_t{place.fragment} + size_t{unit} * place.inputs) * kFragmentBytes) +
        lane;
    const auto shared =
        static_cast<uint32_t>(__cvta_generic_to_shared(in.Row(lane % 16) + 16 * (lane / 16)));
    uint4 ahead[kAhead][2];
#pragma unroll
    for (uint32_t i = 0; i < kAhead; ++i)
      if (i < place.inputs)
        for (uint32_t half = 0; half < 2; ++half) ahead[i][half] = __ldg(from + 64 * i + 32 * half);
    for (uint32_t first_k = 0; first_k < place.inputs; first_k += kAhead) {
#pragma unroll
      for (uint32_t i = 0; i < kAhead; ++i) {
        const uint32_t k = first_k + i;
        if (k >= place.inputs) break;
        const uint4 low = ahead[i][0], high = ahead[i][1];
        if (k + kAhead < place.inputs)
          for (uint32_t half = 0; half < 2; ++half)
            ahead[i][half] = __ldg(from + 64 * (k + kAhead) + 32 * half);
#pragma unroll
        for (uint32_t t = 0; t < kTiles; ++t) {
          uint32_t a[4];
          LoadMatrix(a, shared + 16 * t * in.stride + k * kChunk);
          MultiplyS8(sums[t][0], a, low.x, low.y);
          MultiplyS8(sums[t][1], a, low.z, low.w);
          MultiplyS8(sums[t][2], a, high.x, high.y);
          MultiplyS8(sums[t][3], a, high.z, high.w);
        }
      }
    }
    const MatmulDivision division =
        place.inputs * kChunk == model.hidden ? divisions.narrow : divisions.wide;
#pragma unroll
    for (uint32_t t = 0; t < kTiles; ++t) Finish(place, slot, division, sums[t], out, unit, 16 * t);
  }

  // Perturbs and divides the sums of rows [row, row + 16).
  __device__ void Finish(const MatrixPlace& place, uint32_t slot, MatmulDivision division,
                         int32_t (&sums)[4][4], Tile out, uint32_t unit, uint32_t row) const {
    const uint32_t g = Lane() / 4, q = Lane() % 4, pair = row / 2 + g;
    const int32_t* dot = dots + slot * model.rank * kRows + row + g;
    const uint32_t* words = NoiseAt(place.noise + unit, pair);
    const uint32_t next_words = place.outputs * kPairs * kWords;  // of the next rank
    if constexpr (kDraw == Draw::kRademacher)
      for (uint32_t r = 0; r < model.rank; ++r)
        AddSigned(words[r * next_words] >> 2 * q, dot[r * kRows], dot[r * kRows + 8], sums);
#pragma unroll
    for (uint32_t j = 0; j < 4; ++j) {
      const uint32_t column = 8 * j + 2 * q;
      int64_t wide_sums[4] = {};
      if constexpr (kDraw == Draw::kGaussian)
        for (uint32_t r = 0; r < model.rank; ++r) {
          const int8_t* values = reinterpret_cast<const int8_t*>(words + r * next_words) + column;
#pragma unroll
          for (uint32_t i = 0; i < 4; ++i)
            wide_sums[i] += int64_t{dot[r * kRows + i / 2 * 8]} * values[i % 2];
        }
      uint32_t v[4];
#pragma unroll
      for (uint32_t i = 0; i < 4; ++i) {
        if constexpr (kDraw == Draw::kGaussian)
          v[i] = DivideRaised(sums[j][i] + (wide_sums[i] >> (4 + model.sigma_shift)), division);
        else
          v[i] = DivideRaised(sums[j][i], division);
      }
      int8_t* to = out.Row(row + g) + unit * kChunk + column;
      *reinterpret_cast<uint16_t*>(to) = static_cast<uint16_t>((v[0] | v[1] << 8) ^ 0x8080u);
      *reinterpret_cast<uint16_t*>(to + 8 * out.stride) =
          static_cast<uint16_t>((v[2] | v[3] << 8) ^ 0x8080u);
    }
  }

  // Adds `plus` and `minus`, negated where the output's bit is set: bits 8 j + b are its.
  static __device__ void AddSigned(uint32_t bits, int32_t plus, int32_t minus,
                                   int32_t (&sums)[4][4]) {
#pragma unroll
    for (uint32_t j = 0; j < 4; ++j) {
#pragma unroll
      for (uint32_t b = 0; b < 2; ++b) {
        const int32_t mask = static_cast<int32_t>(bits << (31 - 8 * j - b)) >> 31;
        sums[j][b] += (plus ^ mask) - mask;
        sums[j][2 + b] += (minus ^ mask) - mask;
      }
    }
  }

  __device__ void Multiply(const Product& product) const {
    for (uint32_t unit = Warp(); unit < product.place.outputs; unit += Warps())
      Multiply(product, 0, unit);
    __syncthreads();
  }
  // Two products of as many outputs, of slots 0 and 1, side by side.
  __device__ void Multiply(const Product& first_product, const Product& second) const {
    const uint32_t units = first_product.place.outputs;
    for (uint32_t i = Warp(); i < 2 * units; i += Warps()) {
      const Product product = i < units ? first_product : second;
      Multiply(product, i / units, i % units);
    }
    __syncthreads();
  }

  __device__ void Layer(uint32_t layer) const {
    const uint32_t d = model.hidden, vector = kLayerVectors * layer;
    const auto place = [&](Matrix m) { return PlaceOf(model, layer, m); };
    const Tile from_state = wide, from_x = wide.From(d), gated = wide.From(2 * d);
    ForPairs([&](uint32_t pair) {
      ForWords(pair, [&](uint32_t row, uint32_t c) {
        h.Word(row, c) = *reinterpret_cast<const uint32_t*>(StateAt(layer, row) + c);
      });
      Norm(pair, vector + kVectorGain1);
      Dots(pair, 0, place(kMatrixWf), normed);
      Dots(pair, 1, place(kMatrixUf), h);
    });
    Multiply(Product{place(kMatrixWf), normed, f}, Product{place(kMatrixUf), h, from_state});
    ForPairs([&](uint32_t pair) {
      ForWords(pair, [&](uint32_t row, uint32_t c) {
        const uint32_t bias =
            *reinterpret_cast<const uint32_t*>(VectorAt(vector + kVectorBiasF, row) + c);
        const uint32_t gate = GateSums4(f.Word(row, c), from_state.Word(row, c), bias);
        f.Word(row, c) = gate;
        const uint32_t offset = Offset4(gate);
        gated.Word(row, c) =
            GatedState4(LowUnsigned16(offset), HighUnsigned16(offset), h.Word(row, c));
      });
      Dots(pair, 0, place(kMatrixWh), normed);
      Dots(pair, 1, place(kMatrixUh), gated);
    });
    Multiply(Product{place(kMatrixWh), normed, from_x},
             Product{place(kMatrixUh), gated, from_state});
    ForPairs([&](uint32_t pair) {
      ForWords(pair, [&](uint32_t row, uint32_t c) {
        const uint32_t bias =
            *reinterpret_cast<const uint32_t*>(VectorAt(vector + kVectorBiasH, row) + c);
        const uint32_t candidate =
            Offset4(GateSums4(from_x.Word(row, c), from_state.Word(row, c), bias));
        const uint32_t next = NextState4(Offset4(f.Word(row, c)), LowUnsigned16(candidate),
                                         HighUnsigned16(candidate), h.Word(row, c));
        *reinterpret_cast<uint32_t*>(StateAt(layer, row) + c) = next;
        x.Word(row, c) = __vaddss4(next, x.Word(row, c));
      });
      __syncwarp();
      Norm(pair, vector + kVectorGain2);
      Dots(pair, 0, place(kMatrixW1), normed);
    });
    Multiply(Product{place(kMatrixW1), normed, wide});
    ForPairs([&](uint32_t pair) { Dots(pair, 0, place(kMatrixW2), wide); });
    Multiply(Product{place(kMatrixW2), wide, f});
    ForPairs([&](uint32_t pair) {
      ForWords(pair, [&](uint32_t row, uint32_t c) {
        x.Word(row, c) = __vaddss4(f.Word(row, c), x.Word(row, c));
      });
    });
  }

  // The logits of the byte after those fed so far, in `wide`.
  __device__ void Head() const {
    const MatrixPlace head = PlaceOf(model, model.layers, 0);
    ForPairs([&](uint32_t pair) {
      Norm(pair, kLayerVectors * model.layers);
      Dots(pair, 0, head, normed);
    });
    Multiply(Product{head, normed, wide});
  }

  // Adds the scores of the bytes at `at`.
  __device__ void Score(uint32_t at) const {
    ForPairs([&](uint32_t pair) {
      for (uint32_t s = 0; s < 2; ++s) {
        const uint32_t row = RowOf(pair, s), target = row_states[row].bytes[at];
        const int8_t* logits = wide.Row(row);
        const int32_t of_target = logits[target];
        uint32_t terms = 0;
        bool beats = false;
        for (uint32_t v = Lane(); v < core::kVocabulary; v += 32) {
          const int32_t logit = logits[v];
          terms += core::SoftmaxTerm(logit);
          beats |= logit > of_target || (logit == of_target && v < target);
        }
        terms = __reduce_add_sync(kAll, terms);
        const bool correct = __any_sync(kAll, beats) == 0;
        __syncwarp();  // other lanes have read the row's state
        if (Lane() != 0) continue;
        row_states[row].score += core::TokenScore(of_target, terms);
        row_states[row].coarse_score += core::CoarseTokenScore(of_target, terms);
        row_states[row].correct += correct;
      }
    });
  }

  __device__ void Run() const {
    Begin();
    for (uint32_t at = 0; at < sequences.tokens; ++at) {
      Embed(at);
      for (uint32_t layer = 0; layer < model.layers; ++layer) Layer(layer);
      if (at < sequences.unscored) continue;
      Head();
      Score(at + 1);
    }
    const uint32_t i = threadIdx.x < kRows ? first + SequenceOf(threadIdx.x) : sequences.count;
    if (i < sequences.count) {
      const RowState& sums = row_states[threadIdx.x];
      if (sequences.scores != nullptr) sequences.scores[i] = static_cast<int32_t>(sums.score);
      if (sequences.sums != nullptr)
        sequences.sums[i] = {sums.score, sums.coarse_score, sums.correct};
    }
    __syncthreads();
  }
};

template <Draw kDraw, uint32_t kRows>
__global__ void __launch_bounds__(kThreadsAtOnce, 1)
    MmaKernel(ModelView model, Sequences sequences, MmaMemory memory, MmaSizes sizes,
              Divisions divisions) {
  extern __shared__ __align__(16) int8_t activations[];
  __shared__ RowState row_states[kRows];
  const uint32_t stride = model.hidden + kPad, narrow = kRows * stride;
  const Tile wide{activations + 4 * narrow, WideOf(model.hidden) + kPad};
  Block<kDraw, kRows> block{model,
                            sequences,
                            memory.weights,
                            memory.noise + blockIdx.x * sizes.noise,
                            memory.vectors + blockIdx.x * sizes.vectors,
                            memory.states + blockIdx.x * sizes.states,
                            0,
                            divisions,
                            {activations, stride},
                            {activations + narrow, stride},
                            {activations + 2 * narrow, stride},
                            {activations + 3 * narrow, stride},
                            wide,
                            reinterpret_cast<int32_t*>(wide.Row(kRows)),
                            row_states};
  for (uint32_t first = blockIdx.x * kRows; first < sequences.count; first += gridDim.x * kRows) {
    block.first = first;
    block.Run();
  }
}

using Kernel = void (*)(ModelView, Sequences, MmaMemory, MmaSizes, Divisions);

template <uint32_t kRows>
Kernel KernelFor(core::Noise noise, bool perturbed) {
  if (!perturbed) return MmaKernel<Draw::kNone, kRows>;
  return noise == core::Noise::kRademacher ? MmaKernel<Draw::kRademacher, kRows>
                                           : MmaKernel<Draw::kGaussian, kRows>;
}

}  // namespace

cudaError_t PlanMma(const ModelView& model, MmaPlan& plan) {
  plan = {};
  int device = 0, major = 0, of_block = 0, of_all = 0;  // the last two: bytes of shared memory
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&of_block, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&of_all, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device);
  if (error != cudaSuccess || major < 8 || model.hidden % kChunk != 0) return error;
  for (const uint32_t rows : {kManyRows, kFewRows}) {
    const uint32_t bytes = SharedBytes(rows, model.hidden, model.rank);
    const uint32_t all_bytes = bytes + rows * static_cast<uint32_t>(sizeof(RowState));
    if (all_bytes > static_cast<uint32_t>(of_block)) continue;
    constexpr uint32_t kReserved = 1024;  // by the system, of each block
    const uint32_t fit = static_cast<uint32_t>(of_all) / (all_bytes + kReserved);
    const uint32_t blocks = fit < 1 ? 1 : fit > 3 ? 3 : fit;
    plan = {rows, kThreadsAtOnce / blocks, bytes, blocks};
    break;
  }
  return cudaSuccess;
}

MmaSizes MmaSizesFor(const ModelView& model, const MmaPlan& plan, uint32_t blocks) {
  const MatrixPlace head = PlaceOf(model, model.layers, 0);
  const size_t row_bytes = size_t{plan.sequences} * model.hidden;
  return {(size_t{head.fragment} + head.outputs * head.inputs) * kFragmentBytes,
          blocks * (size_t{plan.sequences / 2} * NoiseChunks(model) * WordsPerChunk(model.noise)),
          blocks * (Vectors(model) * row_bytes), blocks * (model.layers * row_bytes)};
}

cudaError_t MmaEvaluate(const ModelView& model, const Sequences& sequences, const MmaPlan& plan,
                        uint32_t blocks, const MmaMemory& memory) {
  const Kernel kernel = plan.sequences == kManyRows
                            ? KernelFor<kManyRows>(model.noise, sequences.perturbed)
                            : KernelFor<kFewRows>(model.noise, sequences.perturbed);
  // The limit belongs to the kernel, not to the model that was planned last.
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.shared_bytes));
  if (error != cudaSuccess) return error;
  const Divisions divisions{
      MatmulDivisionBy(core::MatmulDivisor(model.hidden)),
      MatmulDivisionBy(core::MatmulDivisor(core::kMlpExpansion * model.hidden))};
  kernel<<<blocks, plan.threads, plan.shared_bytes>>>(model, sequences, memory,
                                                      MmaSizesFor(model, plan, 1), divisions);
  return cudaGetLastError();
}

}  // namespace hatchery::cuda

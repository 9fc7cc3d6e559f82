// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Model `egg` for kTile sequences a threadgroup, all layers and all tokens in one dispatch, so that
// nothing returns to the host between the start of a window and its score.
//
// Two kinds of passes alternate, a barrier between them. In a product, every simdgroup computes
// kTile x kTile outputs at a time on the matrix units and ends them where its lanes hold them. In
// the passes between, eight threads share a member, each with every eighth element, and add what a
// member needs added (norms, B . x, the softmax's sum) by shuffles.
#include "kernels/core/egg.h"
#include "kernels/core/score.h"
#include "kernels/core/window.h"
#include "metal/kernels/division.h"
#include "metal/kernels/product.h"
#include "metal/kernels/threads.h"

namespace hatchery {
namespace apple {

HATCHERY_CONSTANT uint32_t kParts = kThreads / kTile;  // threads that share a member
static_assert(kParts == 8, "MemberSum adds over 8 lanes");

// Sum over the threads of a member.
template <typename T>
inline T MemberSum(T value) {
  value += simd_shuffle_xor(value, ushort(1));
  value += simd_shuffle_xor(value, ushort(2));
  return value + simd_shuffle_xor(value, ushort(4));
}

inline void Barrier() { threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup); }

// A matrix and its noise. `slot`: where its B . x is.
struct Matrix {
  uint64_t weights;
  uint32_t noise;
  uint32_t rows, columns;  // padded
  int32_t divisor;
  uint32_t slot;
};

// A thread's view of its threadgroup's work. Operands of products (Bytes, read as Words) are in
// threadgroup memory, or in device memory where they would not fit.
template <typename Bytes, typename Words>
struct Evaluation {
  Shape shape;
  device const int8_t* weights;
  device const int8_t* noise;  // of the threadgroup's first pair
  uint32_t last;               // member of the tile that stands for those past the end
  bool perturbed;
  uint64_t seed;
  uint32_t noise_step, first_pair;

  device int8_t *x, *f, *c, *wide, *states;
  Bytes normed, hidden;
  uint32_t row;  // of those two, in bytes
  threadgroup int32_t* dots;

  Lane lane;
  uint32_t simdgroup_index;
  uint32_t member, part;  // in the passes between

  uint32_t Existing(uint32_t m) const { return m < last ? m : last; }
  device const int8_t* NoiseOfPair(uint32_t m) const {
    return noise + uint64_t{Existing(m) / 2} * shape.Noise();
  }

  // Element e of a gain or bias as member m has it.
  int32_t Element(uint64_t at, uint32_t noise_at, uint32_t m, uint32_t e) const {
    const int32_t weight = weights[at + e];
    if (!perturbed) return weight;
    return core::ClipWeight(weight + core::ElementPerturbation(shape.noise(), shape.sigma_shift,
                                                               core::MemberSign(Existing(m)),
                                                               NoiseOfPair(m)[noise_at + e]));
  }

  Matrix Square(uint32_t layer, Place place, uint32_t slot) const {
    return Matrix{shape.WeightsOf(layer, place),
                  shape.NoiseOf(layer, place),
                  shape.padded,
                  shape.padded,
                  static_cast<int32_t>(shape.matmul_divisor),
                  slot};
  }

  // ---- Passes between ---------------------------------------------------------------------------

  void Embed(uint32_t token) const {
    device int8_t* out = x + member * shape.padded;
    const core::Noise kind = shape.noise();
    const uint32_t in_block = core::ElementsPerBlock(kind);
    const uint32_t first_block = token * core::BlocksPerRow(kind, shape.hidden);
    for (uint32_t begin = 0; begin < shape.padded; begin += in_block) {
      core::Word4 block{0, 0, 0, 0};
      if (perturbed && begin < shape.hidden)
        block = core::NoiseBlock(seed, noise_step, first_pair + Existing(member) / 2, 0,
                                 core::Factor::kA, 0, first_block + begin / in_block);
      const uint32_t end = begin + in_block < shape.padded ? begin + in_block : shape.padded;
      for (uint32_t e = begin + part; e < end; e += kParts) {
        int32_t value = weights[uint64_t{token} * shape.padded + e];
        if (perturbed && e < shape.hidden)
          value = core::ClipWeight(
              value + core::ElementPerturbation(kind, shape.sigma_shift,
                                                core::MemberSign(Existing(member)),
                                                core::NoiseValue(kind, block, e - begin)));
        out[e] = static_cast<int8_t>(value);
      }
    }
  }

  void Norm(uint64_t at, uint32_t noise_at) const {
    device const int8_t* in = x + member * shape.padded;
    int32_t sum = 0;
    for (uint32_t e = part; e < shape.padded; e += kParts) sum += in[e] < 0 ? -in[e] : in[e];
    const Division division = DivisionBy(core::NormDivisor(MemberSum(sum), shape.hidden));
    for (uint32_t e = part; e < shape.padded; e += kParts)
      normed[member * row + e] =
          static_cast<int8_t>(DivideSaturated(in[e] * Element(at, noise_at, member, e), division));
  }

  // B . x of the thread's member; `in` is its row.
  template <typename Row>
  void Dots(Matrix matrix, Row in) const {
    if (!perturbed) return;
    device const int8_t* b = NoiseOfPair(member) + matrix.noise + shape.rank * matrix.rows;
    for (uint32_t r = 0; r < shape.rank; ++r) {
      int32_t dot = 0;
      for (uint32_t e = part; e < matrix.columns; e += kParts)
        dot += in[e] * b[r * matrix.columns + e];
      dot = MemberSum(dot);
      if (part == 0) dots[(matrix.slot * kTile + member) * shape.rank + r] = dot;
    }
  }

  // ---- Products ---------------------------------------------------------------------------------

  // Output o of member m, from W x.
  int32_t Output(Matrix matrix, int32_t sum, uint32_t m, uint32_t o, Division division) const {
    if (!perturbed) return DivideSaturated(sum, division);
    device const int8_t* a = NoiseOfPair(m) + matrix.noise + o;
    threadgroup const int32_t* dot = dots + (matrix.slot * kTile + m) * shape.rank;
    const int32_t sign = core::MemberSign(Existing(m));
    if (shape.gaussian == 0) {  // stays within 32 bits: core::kMaxInputs
      int32_t product = 0;
      for (uint32_t r = 0; r < shape.rank; ++r) product += a[r * matrix.rows] * dot[r];
      return DivideSaturated(sum + sign * product * (16 >> shape.sigma_shift), division);
    }
    int64_t product = 0;
    for (uint32_t r = 0; r < shape.rank; ++r) product += int64_t{a[r * matrix.rows]} * dot[r];
    const int64_t total =
        sum + core::MatrixPerturbation(core::Noise::kGaussian, shape.sigma_shift, sign, product);
    const int64_t most = division.bound;
    const int64_t clamped = total < -most ? -most : total > most ? most : total;
    return DivideSaturated(static_cast<int32_t>(clamped), division);
  }

  // `in`: the operand, a row every `stride` words. The outputs of tile `tile`, as MultiplyTile's.
  template <typename Operand>
  Sums Outputs(Matrix matrix, Operand in, uint32_t stride, uint32_t tile) const {
    Sums sums = Multiply(weights + matrix.weights + uint64_t{tile} * kTile * matrix.columns,
                         matrix.columns, in, stride, lane);
    const Division division = DivisionBy(matrix.divisor);
    HATCHERY_UNROLL
    for (uint32_t n = 0; n < kLaneSums; ++n)
      sums.at[n] =
          Output(matrix, sums.at[n], lane.Member(n), tile * kTile + lane.Output(n), division);
    return sums;
  }

  void Store(Sums sums, uint32_t tile, device int8_t* out, uint32_t out_row) const {
    HATCHERY_UNROLL
    for (uint32_t n = 0; n < kLaneSums; ++n)
      out[lane.Member(n) * out_row + tile * kTile + lane.Output(n)] =
          static_cast<int8_t>(sums.at[n]);
  }

  template <typename Operand>
  void Product(Matrix matrix, Operand in, uint32_t stride, device int8_t* out,
               uint32_t out_row) const {
    for (uint32_t tile = simdgroup_index; tile < matrix.rows / kTile; tile += kSimdgroups)
      Store(Outputs(matrix, in, stride, tile), tile, out, out_row);
  }

  // sat(W normed + U hidden + bias), the form of both f and c.
  void Gate(Matrix w, Matrix u, uint64_t bias, uint32_t bias_noise, device int8_t* out) const {
    for (uint32_t tile = simdgroup_index; tile < w.rows / kTile; tile += kSimdgroups) {
      Sums sums = Outputs(w, reinterpret_cast<Words>(normed), row / 4, tile);
      const Sums others = Outputs(u, reinterpret_cast<Words>(hidden), row / 4, tile);
      HATCHERY_UNROLL
      for (uint32_t n = 0; n < kLaneSums; ++n)
        sums.at[n] =
            core::GateSum(sums.at[n], others.at[n],
                          Element(bias, bias_noise, lane.Member(n), tile * kTile + lane.Output(n)));
      Store(sums, tile, out, shape.padded);
    }
  }

  // ---- The model --------------------------------------------------------------------------------

  void Layer(uint32_t layer) const {
    const uint32_t own = member * shape.padded;  // the thread's member's row
    device int8_t* state = states + layer * shape.Rows();
    const Matrix wf = Square(layer, kWf, 0), uf = Square(layer, kUf, 2);
    const Matrix wh = Square(layer, kWh, 1), uh = Square(layer, kUh, 2);
    Norm(shape.WeightsOf(layer, kNorm1), shape.NoiseOf(layer, kNorm1));
    for (uint32_t e = part; e < shape.padded; e += kParts)
      hidden[member * row + e] = state[own + e];
    Dots(wf, normed + member * row);
    Dots(wh, normed + member * row);
    Dots(uf, hidden + member * row);
    Barrier();
    Gate(wf, uf, shape.WeightsOf(layer, kBf), shape.NoiseOf(layer, kBf), f);
    Barrier();
    for (uint32_t e = part; e < shape.padded; e += kParts)
      hidden[member * row + e] = static_cast<int8_t>(core::GatedState(f[own + e], state[own + e]));
    Dots(uh, hidden + member * row);
    Barrier();
    Gate(wh, uh, shape.WeightsOf(layer, kBh), shape.NoiseOf(layer, kBh), c);
    Barrier();
    for (uint32_t e = part; e < shape.padded; e += kParts) {
      const int32_t next = core::NextState(f[own + e], c[own + e], state[own + e]);
      state[own + e] = static_cast<int8_t>(next);
      x[own + e] = static_cast<int8_t>(core::Residual(next, x[own + e]));
    }
    Mlp(layer);
    for (uint32_t e = part; e < shape.padded; e += kParts)
      x[own + e] = static_cast<int8_t>(core::Residual(c[own + e], x[own + e]));
  }

  // W2 W1 norm(x), in c.
  void Mlp(uint32_t layer) const {
    const Matrix w1{shape.WeightsOf(layer, kW1),
                    shape.NoiseOf(layer, kW1),
                    shape.padded_wide,
                    shape.padded,
                    static_cast<int32_t>(shape.matmul_divisor),
                    0};
    const Matrix w2{shape.WeightsOf(layer, kW2),
                    shape.NoiseOf(layer, kW2),
                    shape.padded,
                    shape.padded_wide,
                    static_cast<int32_t>(shape.wide_divisor),
                    1};
    Norm(shape.WeightsOf(layer, kNorm2), shape.NoiseOf(layer, kNorm2));
    Dots(w1, normed + member * row);
    Barrier();
    Product(w1, reinterpret_cast<Words>(normed), row / 4, wide, shape.WideRow());
    Barrier();
    Dots(w2, wide + member * shape.WideRow());
    Barrier();
    Product(w2, reinterpret_cast<device const uint32_t*>(wide), shape.WideRow() / 4, c,
            shape.padded);
    Barrier();
  }

  // The logits of the byte after those fed so far, in `wide`.
  void Head() const {
    const Matrix head{shape.HeadWeights(),
                      shape.HeadNoise(),
                      256,
                      shape.padded,
                      static_cast<int32_t>(shape.matmul_divisor),
                      0};
    Norm(shape.NormOutWeights(), shape.NormOutNoise());
    Dots(head, normed + member * row);
    Barrier();
    Product(head, reinterpret_cast<Words>(normed), row / 4, wide, shape.WideRow());
    Barrier();
  }

  // Adds the score of `target`; the same for all threads of a member.
  void Score(uint32_t target, thread SequenceSums& sums) const {
    device const int8_t* logits = wide + member * shape.WideRow();
    const int32_t wanted = logits[target];
    uint32_t terms = 0, better = 0;
    for (uint32_t t = part; t < 256; t += kParts) {
      terms += core::SoftmaxTerm(logits[t]);
      better += logits[t] > wanted || (logits[t] == wanted && t < target);
    }
    terms = MemberSum(terms);
    better = MemberSum(better);
    sums.score += core::TokenScore(wanted, terms);
    sums.coarse_score += core::CoarseTokenScore(wanted, terms);
    sums.correct += better == 0;
  }
};

// In thread memory, where member functions can be called. Spelt out: that a struct in constant
// memory can be copied as a whole is not written anywhere.
inline Shape CopyOf(constant Shape& from) {
  return Shape{from.hidden,         from.wide,        from.padded,      from.padded_wide,
               from.layers,         from.rank,        from.sigma_shift, from.gaussian,
               from.matmul_divisor, from.wide_divisor};
}

// Whether the host wants no more: the same answer for the whole threadgroup. Asked once a dispatch.
inline bool Stopped(device const uint32_t* stop, threadgroup int8_t* shared,
                    uint32_t thread_index) {
  if (thread_index == 0) shared[0] = stop[0] != 0;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  const bool stopped = shared[0] != 0;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  return stopped;
}

// Feeds tokens [first_token, end_token) to the members of a threadgroup.
template <typename Bytes, typename Words>
inline void Run(thread Evaluation<Bytes, Words>& e, device const uint8_t* bytes,
                device SequenceSums* all_sums, constant EvaluateArguments& args, uint32_t first) {
  const uint32_t sequence = first + e.Existing(e.member);
  const uint32_t pair = args.first_pair + sequence / 2;
  bytes += args.perturbed != 0 ? core::WindowOffset(args.seed, args.step,
                                                    pair / args.pairs_per_group, args.positions)
                               : args.begin + sequence * args.stride;
  SequenceSums sums{0, 0, 0};
  if (args.fresh != 0) {
    for (uint32_t l = 0; l < e.shape.layers; ++l)
      for (uint32_t i = e.part; i < e.shape.padded; i += kParts)
        e.states[l * e.shape.Rows() + e.member * e.shape.padded + i] = 0;
  } else if (args.scored != 0) {
    sums = all_sums[sequence];
  }
  for (uint32_t at = args.first_token; at < args.end_token; ++at) {
    e.Embed(bytes[at]);
    for (uint32_t l = 0; l < e.shape.layers; ++l) e.Layer(l);
    if (at < args.unscored) continue;
    e.Head();
    if (args.scored != 0) e.Score(bytes[at + 1], sums);
  }
  if (args.scored != 0 && e.part == 0 && first + e.member < args.count) all_sums[sequence] = sums;
}

template <typename Bytes, typename Words>
inline Evaluation<Bytes, Words> Prepare(device const int8_t* weights, device const int8_t* noise,
                                        device int8_t* scratch, constant EvaluateArguments& args,
                                        threadgroup int8_t* shared, uint32_t first,
                                        uint32_t thread_index, uint32_t simdgroup_index) {
  Evaluation<Bytes, Words> e;
  e.shape = CopyOf(args.shape);
  e.weights = weights;
  e.noise = noise + uint64_t{first / 2} * e.shape.Noise();
  e.last = args.count - first < kTile ? args.count - first - 1 : kTile - 1;
  e.perturbed = args.perturbed != 0;
  e.seed = args.seed;
  e.noise_step = args.noise_step;
  e.first_pair = args.first_pair + first / 2;
  e.x = scratch;
  e.f = scratch + e.shape.Rows();
  e.c = scratch + 2 * e.shape.Rows();
  e.wide = scratch + e.shape.WideScratch();
  e.states = scratch + e.shape.StateScratch();
  e.dots = reinterpret_cast<threadgroup int32_t*>(shared);
  e.lane = FindLane(reinterpret_cast<threadgroup float*>(shared), thread_index);
  e.simdgroup_index = simdgroup_index;
  e.member = thread_index / kParts;
  e.part = thread_index % kParts;
  return e;
}

}  // namespace apple
}  // namespace hatchery

using namespace hatchery;

HATCHERY_KERNEL EvaluateNear(
    device const int8_t* weights [[buffer(0)]], device const int8_t* noise [[buffer(1)]],
    device const uint8_t* bytes [[buffer(2)]], device int8_t* scratch [[buffer(3)]],
    device apple::SequenceSums* sums [[buffer(4)]], device const uint32_t* stop [[buffer(5)]],
    constant apple::EvaluateArguments& args [[buffer(6)]], HATCHERY_THREAD) {
  if (apple::Stopped(stop, shared, thread_index)) return;
  const apple::Shape shape = apple::CopyOf(args.shape);
  const uint32_t first = group * apple::kTile;
  apple::Evaluation<threadgroup int8_t*, threadgroup const uint32_t*> e =
      apple::Prepare<threadgroup int8_t*, threadgroup const uint32_t*>(
          weights, noise, scratch + group * shape.Scratch(), args, shared, first, thread_index,
          simdgroup_index);
  e.row = shape.NearRow();
  e.normed = shared + shape.DotBytes();
  e.hidden = e.normed + apple::kTile * e.row;
  apple::Run(e, bytes, sums, args, first);
}

// For models whose operands do not fit threadgroup memory.
HATCHERY_KERNEL EvaluateFar(
    device const int8_t* weights [[buffer(0)]], device const int8_t* noise [[buffer(1)]],
    device const uint8_t* bytes [[buffer(2)]], device int8_t* scratch [[buffer(3)]],
    device apple::SequenceSums* sums [[buffer(4)]], device const uint32_t* stop [[buffer(5)]],
    constant apple::EvaluateArguments& args [[buffer(6)]], HATCHERY_THREAD) {
  if (apple::Stopped(stop, shared, thread_index)) return;
  const apple::Shape shape = apple::CopyOf(args.shape);
  const uint32_t first = group * apple::kTile;
  device int8_t* own = scratch + group * shape.Scratch();
  apple::Evaluation<device int8_t*, device const uint32_t*> e =
      apple::Prepare<device int8_t*, device const uint32_t*>(weights, noise, own, args, shared,
                                                             first, thread_index, simdgroup_index);
  e.row = shape.padded;
  e.normed = own + shape.FarScratch();
  e.hidden = e.normed + shape.Rows();
  apple::Run(e, bytes, sums, args, first);
}

// Whether this device's matrix units are what the evaluation relies on: x w^T of kTile rows of
// `columns` values each, against integers. Every wrong sum adds one.
HATCHERY_KERNEL CheckProduct(device const int8_t* values [[buffer(0)]],
                             device uint32_t* wrong [[buffer(1)]],
                             constant uint32_t& columns [[buffer(2)]], HATCHERY_THREAD) {
  const apple::Lane lane =
      apple::FindLane(reinterpret_cast<threadgroup float*>(shared), thread_index);
  if (simdgroup_index != 0) return;
  device const int8_t* w = values;
  device const int8_t* x = values + apple::kTile * columns;
  const apple::Sums sums =
      apple::Multiply(w, columns, reinterpret_cast<device const uint32_t*>(x), columns / 4, lane);
  uint32_t count = 0;
  HATCHERY_UNROLL
  for (uint32_t n = 0; n < apple::kLaneSums; ++n) {
    device const int8_t* x_row = x + lane.Member(n) * columns;
    device const int8_t* w_row = w + lane.Output(n) * columns;
    int32_t sum = 0;
    for (uint32_t k = 0; k < columns; ++k) sum += x_row[k] * w_row[k];
    count += sum != sums.at[n];
  }
  wrong[lane_index] = count;
}

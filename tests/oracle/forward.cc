// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Sections 5 and 6 of docs/contract.md: a member's forward pass, scores, held-out sums.
#include "tests/oracle/internal.h"

namespace oracle {
namespace {

using Vector = std::vector<int32_t>;

uint32_t IntegerRoot(uint32_t v) {
  uint32_t root = 0;
  while ((root + 1) * (root + 1) <= v) ++root;
  return root;
}

// One copy of the model: member sign +1 or -1 of a pair, or 0 for the unperturbed model.
class Copy {
 public:
  Copy(const Job& job, const Weights& weights, uint32_t step, uint32_t pair, int sign)
      : job_(job),
        weights_(weights),
        layout_(Layout(job)),
        step_(step),
        pair_(pair),
        sign_(sign),
        low_(job.reference_arithmetic ? -127 : -128),
        gate_(job.reference_arithmetic ? 127 : 128),
        state_(job.layers, Vector(job.hidden, 0)) {
    for (uint32_t id = 0; id < layout_.size(); ++id) Materialise(id);
  }

  // Feeds a byte, advances the state, returns 256 logits.
  Vector Logits(uint8_t token) {
    Vector x(job_.hidden);
    for (uint32_t i = 0; i < job_.hidden; ++i) x[i] = Element(0, token, i);
    for (uint32_t l = 0; l < job_.layers; ++l) x = Layer(1 + 10 * l, x, state_[l]);
    const uint32_t norm_out = 1 + 10 * job_.layers;
    return Multiply(norm_out + 1, Norm(norm_out, x));
  }

 private:
  int Saturate(int64_t v) const { return Clamp(v, low_, 127); }

  // A gain, bias or embedding element of this copy.
  int32_t Element(uint32_t id, uint32_t row, uint32_t i) const {
    const Tensor& t = layout_[id];
    const int weight = weights_[t.offset + uint64_t{row} * t.columns + i];
    if (sign_ == 0) return weight;
    const int noise = sign_ * Noise(job_, step_, pair_, id, 0, 0, row, t.columns, i);
    const int64_t shift = int64_t{1} << job_.sigma_shift;
    return Clamp(weight + (job_.gaussian ? Floor(noise, shift) : noise * (16 / shift)), -127, 127);
  }

  // P = s A B^T of a matrix, unshifted; the elements of a vector.
  void Materialise(uint32_t id) {
    const Tensor& t = layout_[id];
    Vector values;
    if (t.kind == Kind::kGain || t.kind == Kind::kBias)
      for (uint32_t i = 0; i < t.columns; ++i) values.push_back(Element(id, 0, i));
    if (t.kind == Kind::kMatrix && sign_ != 0) {
      values.assign(size_t{t.rows} * t.columns, 0);
      for (uint32_t k = 0; k < job_.rank; ++k) {
        Vector b(t.columns);
        for (uint32_t i = 0; i < t.columns; ++i)
          b[i] = Noise(job_, step_, pair_, id, 1, k, 0, t.columns, i);
        for (uint32_t o = 0; o < t.rows; ++o) {
          const int a = sign_ * Noise(job_, step_, pair_, id, 0, k, 0, t.rows, o);
          for (uint32_t i = 0; i < t.columns; ++i) values[size_t{o} * t.columns + i] += a * b[i];
        }
      }
    }
    values_.push_back(values);
  }

  Vector Multiply(uint32_t id, const Vector& x) const {
    const Tensor& t = layout_[id];
    Vector y(t.rows);
    for (uint32_t o = 0; o < t.rows; ++o) {
      const size_t row = size_t{o} * t.columns;
      int64_t sum = 0, perturbation = 0;
      for (uint32_t start = 0; start < t.columns; start += 64) {  // 64 terms fit in 32 bits
        int32_t sum32 = 0, perturbation32 = 0;
        const uint32_t end = start + 64 < t.columns ? start + 64 : t.columns;
        for (uint32_t i = start; i < end; ++i) sum32 += weights_[t.offset + row + i] * x[i];
        for (uint32_t i = start; sign_ != 0 && i < end; ++i)
          perturbation32 += values_[id][row + i] * x[i];
        sum += sum32;
        perturbation += perturbation32;
      }
      if (job_.gaussian)
        sum += Floor(perturbation, int64_t{16} << job_.sigma_shift);
      else
        sum += perturbation * (16 / (1 << job_.sigma_shift));
      y[o] = Saturate(Floor(sum, 16 * IntegerRoot(t.columns)));
    }
    return y;
  }

  Vector Norm(uint32_t id, const Vector& x) const {
    int64_t total = 0;
    for (int32_t v : x) total += v < 0 ? -v : v;
    int64_t mean = total / static_cast<int64_t>(x.size());
    if (mean == 0) mean = 1;
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); ++i) y[i] = Saturate(Floor(x[i] * values_[id][i], mean));
    return y;
  }

  Vector Layer(uint32_t id, const Vector& input, Vector& h) const {
    const Vector x = Norm(id, input);
    const Vector wf = Multiply(id + 1, x), uf = Multiply(id + 2, h), wh = Multiply(id + 4, x);
    const uint32_t d = job_.hidden;
    Vector f(d), g(d), middle(d);
    for (uint32_t i = 0; i < d; ++i) {
      f[i] = Saturate(wf[i] + uf[i] + values_[id + 3][i]);
      g[i] = static_cast<int32_t>(Floor((f[i] + gate_) * h[i], 256));
    }
    const Vector uh = Multiply(id + 5, g);
    for (uint32_t i = 0; i < d; ++i) {
      const int c = Saturate(wh[i] + uh[i] + values_[id + 6][i]);
      h[i] = Saturate(h[i] + Floor((f[i] + gate_) * (c - h[i]), 256));
      middle[i] = Saturate(h[i] + input[i]);
    }
    Vector out = Multiply(id + 9, Multiply(id + 8, Norm(id + 7, middle)));
    for (uint32_t i = 0; i < d; ++i) out[i] = Saturate(out[i] + middle[i]);
    return out;
  }

  const Job& job_;
  const Weights& weights_;
  const std::vector<Tensor> layout_;
  const uint32_t step_, pair_;
  const int sign_, low_, gate_;
  std::vector<Vector> values_;  // by tensor: P of a matrix, the perturbed elements of a vector
  std::vector<Vector> state_;
};

// log2 of the softmax's denominator in 1/65536 bit.
int64_t LogSum(const Vector& logits) {
  uint64_t sum = 0;
  for (int32_t logit : logits) sum += TheTables().exp2[static_cast<size_t>(logit + 128)];
  uint32_t exponent = 0;
  while (sum >> (exponent + 1) != 0) ++exponent;
  const uint64_t mantissa = (sum << 31) >> exponent;  // [2^31, 2^32)
  const uint64_t index = (mantissa - (uint64_t{1} << 31)) / 8388608;
  const uint64_t fraction = mantissa % 8388608 / 128;
  const uint64_t low = TheTables().log2[index], high = TheTables().log2[index + 1];
  const int64_t log =
      static_cast<int64_t>(exponent * 65536 + low + (high - low) * fraction / 65536);
  return log - (23 * 65536 - 127 * 4096);
}

int64_t TokenScore(const Vector& logits, uint8_t target) {
  return logits[target] * 256 - Floor(LogSum(logits) + 8, 16);
}

uint64_t WindowOffset(const Job& job, uint32_t step, uint32_t group, uint64_t positions) {
  const auto bits = Philox({0, 536870912u, group, step}, job.seed);  // domain 2
  const unsigned __int128 draw = bits[1] * (static_cast<unsigned __int128>(1) << 32) + bits[0];
  return static_cast<uint64_t>((draw * positions) >> 64);
}

}  // namespace

std::vector<int32_t> Scores(const Job& job, const Weights& weights, uint32_t step,
                            const Bytes& train, uint32_t begin, uint32_t end) {
  std::vector<int32_t> scores;
  for (uint32_t member = 2 * begin; member < 2 * end; ++member) {
    const uint64_t positions = train.size() - job.burn_in - job.window;
    const uint64_t start = WindowOffset(job, step, member / job.group_size, positions);
    Copy copy(job, weights, step, member / 2, member % 2 == 0 ? 1 : -1);
    int64_t score = 0;
    for (uint32_t i = 0; i < job.burn_in + job.window; ++i) {
      const Vector logits = copy.Logits(train[start + i]);
      if (i >= job.burn_in) score += TokenScore(logits, train[start + i + 1]);
    }
    scores.push_back(static_cast<int32_t>(score));
  }
  return scores;
}

HeldOut Validate(const Job& job, const Weights& weights, const Bytes& held_out, uint32_t begin,
                 uint32_t end) {
  HeldOut sums;
  const uint64_t length = held_out.size() / job.held_out_streams;
  for (uint32_t stream = begin; stream < end; ++stream) {
    Copy copy(job, weights, 0, 0, 0);
    for (uint64_t i = 0; i + 1 < length; ++i) {
      const Vector logits = copy.Logits(held_out[stream * length + i]);
      const uint8_t target = held_out[stream * length + i + 1];
      size_t best = 0;
      for (size_t v = 1; v < 256; ++v)
        if (logits[v] > logits[best]) best = v;
      sums.score += TokenScore(logits, target);
      sums.coarse_score += logits[target] - Floor(LogSum(logits), 4096);
      sums.correct += best == target;
      ++sums.tokens;
    }
  }
  return sums;
}

}  // namespace oracle

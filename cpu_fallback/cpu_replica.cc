// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "cpu_fallback/cpu_replica.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <system_error>
#include <thread>

#include "cpu_fallback/forward.h"
#include "cpu_fallback/noise_batch.h"
#include "cpu_fallback/product.h"
#include "cpu_fallback/thread_pool.h"
#include "cpu_fallback/update.h"
#include "kernels/core/egg.h"
#include "kernels/core/score.h"
#include "kernels/core/window.h"

namespace hatchery {
namespace {

// Rows of activations that one thread carries through the model together: enough to read each
// matrix rarely, few enough that their activations stay in the second-level cache.
constexpr uint32_t kBatchRows = 128;

// Softmax sum of one row's logits.
uint32_t TermSum(const int8_t* logits) {
  uint32_t sums[4] = {};
  for (uint32_t v = 0; v < core::kVocabulary; ++v) sums[v % 4] += core::SoftmaxTerm(logits[v]);
  return sums[0] + sums[1] + sums[2] + sums[3];
}

class CpuReplica : public Replica {
 public:
  CpuReplica(const JobSpec& spec, DataView data, const CpuOptions& options)
      : spec_(spec), model_(spec), data_(data), product_(options.product), pool_(options.threads) {
    for (unsigned i = 0; i < pool_.size(); ++i) workers_.push_back(std::make_unique<Worker>(*this));
    weights_.matrices.resize(model_.tensors().size());
    SetWeights(InitialWeights(model_, spec_.seed));
  }

  const JobSpec& spec() const override { return spec_; }
  const Model& model() const override { return model_; }
  uint32_t step() const override { return step_; }

  std::string Description() const override {
    return "cpu (" + ProductName(product_) + ", " + std::to_string(pool_.size()) +
           (pool_.size() == 1 ? " thread)" : " threads)");
  }

  Status Evaluate(Shard shard, std::stop_token stop, std::span<int32_t> scores) override;
  StatusOr<HeldOutSums> Validate(uint32_t begin, uint32_t end, std::stop_token stop) override;
  Status Apply(const Commit& commit) override;
  Status UpdateSlice(const Commit& commit, uint64_t offset, std::span<int8_t> out) override;
  Status Install(uint64_t offset, std::span<const int8_t> bytes) override;
  StatusOr<core::Digest> DigestOf(uint64_t offset, uint64_t size) override;
  StatusOr<std::vector<int8_t>> Snapshot() override { return weights_.bytes; }
  Status Restore(uint32_t step, std::span<const int8_t> weights) override;
  StatusOr<std::vector<int8_t>> Logits(uint8_t token, RecurrentState& state) override;

 private:
  // What one thread needs.
  struct Worker {
    explicit Worker(const CpuReplica& replica)
        : product(MakeProduct(replica.product_)),
          forward(replica.model_, replica.spec_, product.get()),
          noise(replica.model_, replica.spec_) {}
    std::unique_ptr<Product> product;
    Forward forward;
    NoiseBatch noise;
  };

  void SetWeights(std::vector<int8_t> bytes);
  void PackMatrix(const Tensor& tensor, Product* product);
  void EvaluatePairs(Worker& worker, uint32_t first, uint32_t pairs, const std::stop_token& stop,
                     int32_t* scores);
  HeldOutSums ValidateStreams(Worker& worker, uint32_t begin, uint32_t end,
                              const std::stop_token& stop);
  // Items a batch: `most` unless the threads would then share `total` unevenly. At least 1.
  uint32_t BatchOf(uint32_t total, uint32_t most) const {
    const uint32_t share = most * pool_.size();
    const uint32_t batches = std::max(1u, (total + share - 1) / share) * pool_.size();
    return std::max(1u, (total + batches - 1) / batches);
  }

  const JobSpec spec_;
  const Model model_;
  const DataView data_;
  const CpuProduct product_;
  ThreadPool pool_;
  std::vector<std::unique_ptr<Worker>> workers_;
  PackedWeights weights_;
  uint32_t step_ = 0;
};

void CpuReplica::SetWeights(std::vector<int8_t> bytes) {
  weights_.bytes = std::move(bytes);
  pool_.ParallelFor(model_.tensors().size(), [this](size_t id, unsigned thread) {
    const Tensor& t = model_.tensor(static_cast<uint32_t>(id));
    if (t.kind == TensorKind::kMatrix) PackMatrix(t, workers_[thread]->product.get());
  });
}

void CpuReplica::PackMatrix(const Tensor& t, Product* product) {
  const int8_t* rows = weights_.bytes.data() + t.offset;
  std::vector<int8_t> padded;
  if (t.columns != Padded(t.columns)) {
    padded.assign(t.rows * Padded(t.columns), 0);
    for (uint32_t o = 0; o < t.rows; ++o)
      std::memcpy(padded.data() + o * Padded(t.columns), rows + size_t{o} * t.columns, t.columns);
    rows = padded.data();
  }
  weights_.matrices[t.id] = product->Pack(rows, t.rows, t.columns);
}

Status CpuReplica::Evaluate(Shard shard, std::stop_token stop, std::span<int32_t> scores) {
  HATCHERY_RETURN_IF_ERROR(CheckEvaluate(spec_, shard, scores.size(), data_.train.size()));
  const uint32_t batch = BatchOf(shard.pairs(), kBatchRows / 2);
  const size_t batches = (shard.pairs() + batch - 1) / batch;
  pool_.ParallelFor(batches, [&](size_t index, unsigned thread) {
    const uint32_t first = shard.begin + static_cast<uint32_t>(index) * batch;
    const uint32_t pairs = std::min(batch, shard.end - first);
    EvaluatePairs(*workers_[thread], first, pairs, stop, scores.data() + 2 * (first - shard.begin));
  });
  if (stop.stop_requested()) return Cancelled("evaluation stopped on request");
  return {};
}

void CpuReplica::EvaluatePairs(Worker& worker, uint32_t first, uint32_t pairs,
                               const std::stop_token& stop, int32_t* scores) {
  if (stop.stop_requested()) return;
  const uint32_t rows = 2 * pairs;
  const uint64_t positions = data_.train.size() - spec_.burn_in - spec_.window;
  std::vector<const uint8_t*> windows(rows);
  for (uint32_t m = 0; m < rows; ++m)
    windows[m] = data_.train.data() +
                 core::WindowOffset(spec_.seed, step_, spec_.GroupOfPair(first + m / 2), positions);
  worker.noise.Draw(step_, first, pairs, weights_.bytes);
  worker.forward.Start(weights_, &worker.noise, rows);
  std::fill_n(scores, rows, 0);
  std::vector<uint8_t> tokens(rows);
  for (uint32_t at = 0; at < spec_.burn_in + spec_.window; ++at) {
    if (stop.stop_requested()) return;
    for (uint32_t m = 0; m < rows; ++m) tokens[m] = windows[m][at];
    worker.forward.Step(tokens);
    if (at < spec_.burn_in) continue;
    worker.forward.ComputeLogits();
    for (uint32_t m = 0; m < rows; ++m) {
      const int8_t* logits = worker.forward.Logits(m);
      scores[m] += core::TokenScore(logits[windows[m][at + 1]], TermSum(logits));
    }
  }
}

StatusOr<HeldOutSums> CpuReplica::Validate(uint32_t begin, uint32_t end, std::stop_token stop) {
  HATCHERY_RETURN_IF_ERROR(CheckValidate(spec_, begin, end, data_.held_out.size()));
  const uint32_t batch = BatchOf(end - begin, kBatchRows);
  std::vector<HeldOutSums> sums((end - begin + batch - 1) / batch);
  pool_.ParallelFor(sums.size(), [&](size_t index, unsigned thread) {
    const uint32_t first = begin + static_cast<uint32_t>(index) * batch;
    sums[index] = ValidateStreams(*workers_[thread], first, std::min(end, first + batch), stop);
  });
  if (stop.stop_requested()) return Cancelled("validation stopped on request");
  HeldOutSums total;
  for (const HeldOutSums& part : sums) total += part;
  return total;
}

HeldOutSums CpuReplica::ValidateStreams(Worker& worker, uint32_t begin, uint32_t end,
                                        const std::stop_token& stop) {
  const uint32_t rows = end - begin;
  const StreamSpan first = HeldOutStream(data_.held_out.size(), spec_.held_out_streams, begin);
  const uint64_t length = first.end - first.begin;
  auto byte = [&](uint32_t m, uint64_t at) {
    return data_.held_out[first.begin + m * length + at];
  };
  worker.forward.Start(weights_, nullptr, rows);
  HeldOutSums sums;
  std::vector<uint8_t> tokens(rows);
  for (uint64_t at = 0; at + 1 < length; ++at) {
    if (stop.stop_requested()) return sums;
    for (uint32_t m = 0; m < rows; ++m) tokens[m] = byte(m, at);
    worker.forward.Step(tokens);
    worker.forward.ComputeLogits();
    for (uint32_t m = 0; m < rows; ++m) {
      const int8_t* logits = worker.forward.Logits(m);
      const uint8_t target = byte(m, at + 1);
      const uint32_t terms = TermSum(logits);
      sums.score += core::TokenScore(logits[target], terms);
      sums.coarse_score += core::CoarseTokenScore(logits[target], terms);
      sums.correct += std::max_element(logits, logits + core::kVocabulary) - logits == target;
    }
    sums.tokens += rows;
  }
  return sums;
}

Status CpuReplica::UpdateSlice(const Commit& commit, uint64_t offset, std::span<int8_t> out) {
  HATCHERY_RETURN_IF_ERROR(CheckCommit(*this, commit));
  HATCHERY_RETURN_IF_ERROR(CheckBytes("update", model_, offset, out.size()));
  std::copy_n(weights_.bytes.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
  const UpdateStep update(model_, spec_, commit);
  const std::vector<UpdateTile> tiles = TilesOf(model_, offset, out.size());
  pool_.ParallelFor(tiles.size(), [&](size_t index, unsigned thread) {
    const UpdateTile& tile = tiles[index];
    const Tensor& t = model_.tensor(tile.tensor);
    const uint64_t first = t.offset + uint64_t{tile.begin} * t.columns;
    std::vector<int8_t> updated(size_t{tile.end - tile.begin} * t.columns);
    update.Compute(tile, weights_.bytes, workers_[thread]->product.get(), updated.data());
    const uint64_t from = std::max(first, offset);
    const uint64_t to = std::min(first + updated.size(), offset + out.size());
    std::memcpy(out.data() + (from - offset), updated.data() + (from - first), to - from);
  });
  return {};
}

Status CpuReplica::Apply(const Commit& commit) {
  std::vector<int8_t> updated(model_.bytes());
  HATCHERY_RETURN_IF_ERROR(UpdateSlice(commit, 0, updated));
  SetWeights(std::move(updated));
  ++step_;
  return {};
}

Status CpuReplica::Install(uint64_t offset, std::span<const int8_t> bytes) {
  HATCHERY_RETURN_IF_ERROR(CheckBytes("install", model_, offset, bytes.size()));
  std::vector<int8_t> weights = weights_.bytes;
  std::copy(bytes.begin(), bytes.end(), weights.begin() + static_cast<ptrdiff_t>(offset));
  SetWeights(std::move(weights));
  return {};
}

StatusOr<core::Digest> CpuReplica::DigestOf(uint64_t offset, uint64_t size) {
  HATCHERY_RETURN_IF_ERROR(CheckBytes("digest", model_, offset, size));
  static constexpr uint64_t kSlice = 1 << 18;
  std::vector<core::Digest> parts((size + kSlice - 1) / kSlice);
  pool_.ParallelFor(parts.size(), [&](size_t index, unsigned) {
    const uint64_t begin = offset + index * kSlice;
    const uint64_t bytes = std::min(kSlice, offset + size - begin);
    parts[index] = DigestOfBytes(std::span(weights_.bytes).subspan(begin, bytes), begin);
  });
  core::Digest digest;
  for (const core::Digest& part : parts) digest += part;
  return digest;
}

Status CpuReplica::Restore(uint32_t step, std::span<const int8_t> weights) {
  HATCHERY_RETURN_IF_ERROR(CheckWeights(model_, weights.size()));
  SetWeights({weights.begin(), weights.end()});
  step_ = step;
  return {};
}

StatusOr<std::vector<int8_t>> CpuReplica::Logits(uint8_t token, RecurrentState& state) {
  HATCHERY_RETURN_IF_ERROR(PrepareState(spec_, state));
  std::vector<int8_t> logits(core::kVocabulary);
  // On the pool, so that the product runs on one thread.
  pool_.ParallelFor(1, [&](size_t, unsigned thread) {
    Forward& forward = workers_[thread]->forward;
    forward.Start(weights_, nullptr, 1);
    for (uint32_t l = 0; l < spec_.layers; ++l)
      std::memcpy(forward.State(0, l), state.data() + size_t{l} * spec_.hidden, spec_.hidden);
    forward.Step(std::span(&token, 1));
    forward.ComputeLogits();
    for (uint32_t l = 0; l < spec_.layers; ++l)
      std::memcpy(state.data() + size_t{l} * spec_.hidden, forward.State(0, l), spec_.hidden);
    std::copy_n(forward.Logits(0), core::kVocabulary, logits.begin());
  });
  return logits;
}

}  // namespace

CpuMemory CpuMemoryOf(const JobSpec& spec, unsigned threads) {
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  const Model model(spec);
  CpuMemory memory;
  memory.weights = 2 * model.bytes();
  uint64_t pair_noise = 0, member_vectors = 0;
  for (const Tensor& t : model.tensors()) {
    if (t.kind == TensorKind::kMatrix) {
      memory.weights += 2 * Padded(t.rows) * Padded(t.columns);  // the portable product: 16 bits
      pair_noise +=
          spec.rank * (NoiseRowBytes(spec.noise, t.rows) + NoiseRowBytes(spec.noise, t.columns));
    } else if (t.kind != TensorKind::kEmbedding) {
      member_vectors += Padded(t.columns);
    }
  }
  const uint64_t row = Padded(spec.hidden);
  const uint64_t wide =
      std::max<uint64_t>(Padded(core::kMlpExpansion * size_t{spec.hidden}), core::kVocabulary);
  // A member: recurrent states, eight rows of activations, a wide one with its sums and its copy in
  // 16 bits, logits, perturbed vectors, and half of its pair's noise.
  const uint64_t member = (spec.layers + 8) * row + (1 + 4 + 2) * wide + core::kVocabulary +
                          member_vectors + pair_noise / 2;
  memory.evaluation = threads * kBatchRows * member + 4 * uint64_t{spec.population};
  return memory;
}

StatusOr<std::unique_ptr<Replica>> CreateCpuReplica(const JobSpec& spec, DataView data,
                                                    const CpuOptions& options) {
  HATCHERY_RETURN_IF_ERROR(spec.Validate());
  if (!data.train.empty()) HATCHERY_RETURN_IF_ERROR(CheckData(spec, data));
  CpuOptions chosen = options;
  chosen.product = ChooseProduct(options.product);
  HATCHERY_RETURN_IF_ERROR(CheckProduct(chosen.product));
  try {
    return std::unique_ptr<Replica>(std::make_unique<CpuReplica>(spec, data, chosen));
  } catch (const std::system_error& error) {
    return ResourceExhausted("cannot start the threads of the CPU backend: " +
                             std::string(error.what()) + "; give fewer with --threads");
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("a replica of " + std::to_string(Model(spec).bytes()) +
                             " bytes does not fit into memory; use a smaller model");
  }
}

}  // namespace hatchery

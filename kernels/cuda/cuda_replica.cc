// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_replica.h"

#include <algorithm>
#include <cstdlib>

#include "kernels/core/egg.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/evaluate.h"
#include "kernels/cuda/evaluate_hopper.h"
#include "kernels/cuda/evaluate_mma.h"
#include "kernels/cuda/update.h"

namespace hatchery {
namespace {

using cuda::FromCuda;

// Recurrent states of the reference kernel take at most this much memory; fewer blocks if more.
constexpr uint64_t kMaxReferenceStates = uint64_t{1} << 30;
// Tokens that one launch evaluates of a model with up to kUsualParameters in its matrices (egg
// 6 x 256 has 4.8 million), and fewer of a larger one in proportion, so that a stop request is
// heard within a moment: for egg 6 x 256 on an H100, 0.2 seconds, or 2 by the reference kernels.
constexpr uint64_t kReferenceTokensAtOnce = 1 << 18;
constexpr uint64_t kFastTokensAtOnce = 1 << 24;
constexpr uint64_t kUsualParameters = 5'000'000;
// Sums that the fast update holds at a time: 256 MB.
constexpr size_t kSumsAtOnce = size_t{1} << 26;
// Bytes that blocks leave free for what is allocated where it is used: scores, tiles, sums.
constexpr size_t kRoomToWork = size_t{4} << 20;

// Calls `allocate` with `most`, and with half as much for as long as memory is short of it; what it
// came to is left in `most`. The error is that of 1.
template <typename Number, typename Allocate>
Status AllocateAtMost(Number& most, Allocate allocate) {
  while (true) {
    Status status = allocate(most);
    if (status.code() != StatusCode::kResourceExhausted || most <= 1) return status;
    most /= 2;
  }
}

class CudaReplica : public Replica {
 public:
  CudaReplica(const JobSpec& spec, DataView data, const CudaOptions& options)
      : spec_(spec),
        model_(spec),
        options_(options),
        held_out_bytes_(data.held_out.size()),
        memory_(options.memory_limit) {}

  // Takes the device and its memory, and sets the initial weights.
  Status Open(DataView data);

  const JobSpec& spec() const override { return spec_; }
  const Model& model() const override { return model_; }
  uint32_t step() const override { return step_; }
  std::string Description() const override {
    return "cuda (" + device_name_ + ", device " + std::to_string(options_.device) +
           (kernel_ == Kernel::kReference ? ", reference kernels)"
            : kernel_ == Kernel::kMma     ? ", fused for any shape)"
                                          : ", fused)");
  }

  uint32_t RoundPairs() const override { return std::max(1u, blocks_ * BlockSequences() / 2); }

  Status Evaluate(Shard shard, std::stop_token stop, std::span<int32_t> scores) override;
  StatusOr<HeldOutSums> Validate(uint32_t begin, uint32_t end, std::stop_token stop) override;
  Status Apply(const Commit& commit) override;
  Status UpdateSlice(const Commit& commit, uint64_t offset, std::span<int8_t> out) override;
  Status Install(uint64_t offset, std::span<const int8_t> bytes) override;
  StatusOr<core::Digest> DigestOf(uint64_t offset, uint64_t size) override;
  StatusOr<std::vector<int8_t>> Snapshot() override;
  Status Restore(uint32_t step, std::span<const int8_t> weights) override;
  StatusOr<std::vector<int8_t>> Logits(uint8_t token, RecurrentState& state) override;

 private:
  Status UseDevice() const { return FromCuda(cudaSetDevice(options_.device), "select the device"); }
  Status AllocateModel();
  Status ChooseKernel(uint32_t multiprocessors);
  Status AllocateBlocks(uint32_t blocks);
  Status AllocateHopper(uint32_t blocks);
  cuda::HopperMemory HopperMemory() const;
  Status AllocateMma(uint32_t blocks);
  cuda::MmaMemory MmaMemory() const;
  // Sequences that a block carries at a time; and sequences, and tokens, that one launch takes.
  uint32_t BlockSequences() const;
  uint32_t SequencesAtOnce(uint64_t tokens_each) const;
  uint64_t TokensAtOnce() const;
  Status LoadData(DataView data);
  cuda::ModelView View() const;
  cuda::Sequences MemberSequences(Shard shard) const;
  Status Run(const cuda::Sequences& sequences);
  // New weights of the tensors that overlap [offset, offset + size), in next_.
  Status ComputeUpdate(const Commit& commit, uint64_t offset, uint64_t size);
  // The same of the first `count` of `tiles`.
  Status UpdateTiles(const cuda::UpdateStep& step, const cuda::UpdateMethod& method,
                     const cuda::Buffer<cuda::UpdateTile>& tiles, size_t count);
  Status WeightsChanged();

  const JobSpec spec_;
  const Model model_;
  const CudaOptions options_;
  const uint64_t held_out_bytes_;
  std::string device_name_;
  // Which evaluates members and held-out streams.
  enum class Kernel { kReference, kMma, kHopper } kernel_ = Kernel::kReference;
  const cuda::UpdateMethod* fast_matrices_ = &cuda::kRademacherMatrices;  // where FastUpdateFits
  cuda::MmaPlan mma_plan_;
  uint32_t blocks_ = 0;  // of the kernel that run at a time
  uint32_t step_ = 0;

  cuda::MemoryLimit memory_;  // of the buffers below
  cuda::Buffer<int8_t> weights_{&memory_};
  cuda::Buffer<int8_t> next_{&memory_};  // weights being computed; padding as in weights_
  cuda::Buffer<uint64_t> offsets_{&memory_};
  cuda::Buffer<uint8_t> train_{&memory_};
  cuda::Buffer<uint8_t> held_out_{&memory_};
  cuda::Buffer<int8_t> states_{&memory_};
  cuda::Buffer<int32_t> scores_{&memory_};
  cuda::Buffer<cuda::SequenceSums> sums_{&memory_};
  cuda::Buffer<int8_t> fitness_{&memory_};
  cuda::Buffer<cuda::UpdateTile> matrix_tiles_{&memory_};
  cuda::Buffer<cuda::UpdateTile> element_tiles_{&memory_};
  cuda::Buffer<int32_t> update_sums_{&memory_};  // Z of the tiles in work
  cuda::Buffer<unsigned long long> lanes_{&memory_};
  cuda::Buffer<uint8_t> token_{&memory_};
  cuda::Buffer<int8_t> logits_{&memory_};

  // Of the fused kernels; see HopperMemory and MmaMemory.
  cuda::Buffer<int8_t> stages_{&memory_}, vectors_{&memory_}, embedding_{&memory_};
  cuda::Buffer<uint4> fast_noise_{&memory_}, fast_states_{&memory_}, fast_scratch_{&memory_};
  cuda::Buffer<int8_t> mma_weights_{&memory_}, mma_vectors_{&memory_}, mma_states_{&memory_};
  cuda::Buffer<uint32_t> mma_noise_{&memory_};
};

Status CudaReplica::Open(DataView data) {
  HATCHERY_RETURN_IF_ERROR(UseDevice());
  cudaDeviceProp properties;
  HATCHERY_RETURN_IF_ERROR(FromCuda(cudaGetDeviceProperties(&properties, options_.device),
                                    "read the device's properties"));
  device_name_ = properties.name;
  HATCHERY_RETURN_IF_ERROR(ChooseKernel(static_cast<uint32_t>(properties.multiProcessorCount)));
  HATCHERY_RETURN_IF_ERROR(AllocateModel());
  HATCHERY_RETURN_IF_ERROR(LoadData(data));
  // Last, for of blocks there may be fewer.
  HATCHERY_RETURN_IF_ERROR(
      AllocateAtMost(blocks_, [this](uint32_t blocks) { return AllocateBlocks(blocks); }));
  return Restore(0, InitialWeights(model_, spec_.seed));
}

Status CudaReplica::AllocateModel() {
  std::vector<uint64_t> offsets;
  for (const Tensor& t : model_.tensors()) offsets.push_back(t.offset);
  HATCHERY_RETURN_IF_ERROR(offsets_.Allocate(offsets.size(), "the tensor table"));
  HATCHERY_RETURN_IF_ERROR(offsets_.CopyFrom(offsets));
  HATCHERY_RETURN_IF_ERROR(weights_.Allocate(model_.bytes(), "the model"));
  HATCHERY_RETURN_IF_ERROR(next_.Allocate(model_.bytes(), "the model's update"));
  HATCHERY_RETURN_IF_ERROR(fitness_.Allocate(spec_.pairs(), "the fitness"));
  HATCHERY_RETURN_IF_ERROR(lanes_.Allocate(2, "the digest"));
  HATCHERY_RETURN_IF_ERROR(token_.Allocate(1, "a token"));
  return logits_.Allocate(core::kVocabulary, "the logits");
}

Status CudaReplica::ChooseKernel(uint32_t multiprocessors) {
  bool hopper = false;
  if (options_.kernels == CudaKernels::kAuto)
    HATCHERY_RETURN_IF_ERROR(FromCuda(cuda::RunsSm90a(hopper), "ask the device what code it runs"));
  if (hopper) fast_matrices_ = &cuda::kHopperMatrices;
  if (options_.kernels != CudaKernels::kReference)
    HATCHERY_RETURN_IF_ERROR(FromCuda(cuda::PlanMma(View(), mma_plan_), "plan the evaluation"));
  if (hopper && cuda::HopperFits(View())) {
    kernel_ = Kernel::kHopper;
    blocks_ = multiprocessors;
  } else if (mma_plan_.sequences != 0) {
    kernel_ = Kernel::kMma;
    blocks_ = multiprocessors * mma_plan_.blocks_at_once;
  } else {
    const uint64_t most = kMaxReferenceStates / cuda::ReferenceStateBytes(View());
    blocks_ = static_cast<uint32_t>(std::clamp<uint64_t>(most, 1, 4 * uint64_t{multiprocessors}));
  }
  return {};
}

Status CudaReplica::AllocateBlocks(uint32_t blocks) {
  // Whatever evaluates, one block of the reference kernel samples.
  const size_t references = kernel_ == Kernel::kReference ? blocks : 1;
  HATCHERY_RETURN_IF_ERROR(
      states_.Allocate(references * cuda::ReferenceStateBytes(View()), "the recurrent state"));
  if (kernel_ == Kernel::kHopper) HATCHERY_RETURN_IF_ERROR(AllocateHopper(blocks));
  if (kernel_ == Kernel::kMma) HATCHERY_RETURN_IF_ERROR(AllocateMma(blocks));
  return cuda::Buffer<int8_t>(&memory_).Allocate(kRoomToWork, "the scores and sums of a launch");
}

Status CudaReplica::AllocateHopper(uint32_t blocks) {
  const cuda::HopperSizes sizes = cuda::SizesFor(spec_.layers, blocks);
  HATCHERY_RETURN_IF_ERROR(stages_.Allocate(sizes.stages, "the arranged weights"));
  HATCHERY_RETURN_IF_ERROR(vectors_.Allocate(sizes.vectors, "the arranged vectors"));
  HATCHERY_RETURN_IF_ERROR(embedding_.Allocate(sizes.embedding, "the arranged embedding"));
  HATCHERY_RETURN_IF_ERROR(fast_noise_.Allocate(sizes.noise, "the noise of a launch"));
  HATCHERY_RETURN_IF_ERROR(fast_states_.Allocate(sizes.states, "the recurrent state"));
  return fast_scratch_.Allocate(sizes.scratch, "the residuals and gates");
}

cuda::HopperMemory CudaReplica::HopperMemory() const {
  return {stages_.data(),     vectors_.data(),     embedding_.data(),
          fast_noise_.data(), fast_states_.data(), fast_scratch_.data()};
}

Status CudaReplica::AllocateMma(uint32_t blocks) {
  const cuda::MmaSizes sizes = cuda::MmaSizesFor(View(), mma_plan_, blocks);
  HATCHERY_RETURN_IF_ERROR(mma_weights_.Allocate(sizes.weights, "the arranged weights"));
  HATCHERY_RETURN_IF_ERROR(mma_noise_.Allocate(sizes.noise, "the noise of a launch"));
  HATCHERY_RETURN_IF_ERROR(mma_vectors_.Allocate(sizes.vectors, "the perturbed vectors"));
  return mma_states_.Allocate(sizes.states, "the recurrent state");
}

cuda::MmaMemory CudaReplica::MmaMemory() const {
  return {mma_weights_.data(), mma_noise_.data(), mma_vectors_.data(), mma_states_.data()};
}

uint32_t CudaReplica::BlockSequences() const {
  switch (kernel_) {
    case Kernel::kHopper:
      return cuda::kHopperMembers;
    case Kernel::kMma:
      return mma_plan_.sequences;
    case Kernel::kReference:
      break;
  }
  return 1;
}

uint32_t CudaReplica::SequencesAtOnce(uint64_t tokens_each) const {
  const uint64_t unit = uint64_t{blocks_} * std::max(2u, BlockSequences());  // of whole pairs
  return static_cast<uint32_t>(std::max<uint64_t>(1, TokensAtOnce() / (tokens_each * unit)) * unit);
}

uint64_t CudaReplica::TokensAtOnce() const {
  if (options_.tokens_at_once != 0) return options_.tokens_at_once;
  const uint64_t tokens =
      kernel_ == Kernel::kReference ? kReferenceTokensAtOnce : kFastTokensAtOnce;
  return tokens * kUsualParameters / std::max(kUsualParameters, model_.matrix_parameters());
}

Status CudaReplica::LoadData(DataView data) {
  HATCHERY_RETURN_IF_ERROR(train_.Allocate(data.train.size(), "the training data"));
  HATCHERY_RETURN_IF_ERROR(held_out_.Allocate(data.held_out.size(), "the held-out data"));
  HATCHERY_RETURN_IF_ERROR(train_.CopyFrom(data.train));
  return held_out_.CopyFrom(data.held_out);
}

cuda::ModelView CudaReplica::View() const {
  return {weights_.data(), offsets_.data(), spec_.hidden, spec_.layers,
          spec_.seed,      spec_.noise,     spec_.rank,   spec_.sigma_shift};
}

cuda::Sequences CudaReplica::MemberSequences(Shard shard) const {
  cuda::Sequences sequences{};
  sequences.count = 2 * shard.pairs();
  sequences.bytes = train_.data();
  sequences.unscored = spec_.burn_in;
  sequences.tokens = spec_.burn_in + spec_.window;
  sequences.perturbed = true;
  sequences.step = step_;
  sequences.noise_step = core::NoiseStep(step_, spec_.noise_reuse);
  sequences.first_pair = shard.begin;
  sequences.pairs_per_group = spec_.group_size / 2;
  sequences.positions = train_.size() - spec_.burn_in - spec_.window;
  return sequences;
}

Status CudaReplica::Run(const cuda::Sequences& sequences) {
  const uint32_t tiles = (sequences.count + BlockSequences() - 1) / BlockSequences();
  const uint32_t blocks = std::min(tiles, blocks_);
  const cudaError_t launched =
      kernel_ == Kernel::kHopper ? cuda::HopperEvaluate(View(), sequences, blocks, HopperMemory())
      : kernel_ == Kernel::kMma
          ? cuda::MmaEvaluate(View(), sequences, mma_plan_, blocks, MmaMemory())
          : cuda::EvaluateReference(View(), sequences, blocks, states_.data(), false);
  HATCHERY_RETURN_IF_ERROR(FromCuda(launched, "launch the evaluation"));
  return FromCuda(cudaDeviceSynchronize(), "evaluate");
}

Status CudaReplica::Evaluate(Shard shard, std::stop_token stop, std::span<int32_t> scores) {
  HATCHERY_RETURN_IF_ERROR(CheckEvaluate(spec_, shard, scores.size(), train_.size()));
  HATCHERY_RETURN_IF_ERROR(UseDevice());
  const uint32_t most = SequencesAtOnce(uint64_t{spec_.burn_in} + spec_.window) / 2;
  const size_t places = 2 * size_t{std::min(most, shard.pairs())};
  if (scores_.size() < places) HATCHERY_RETURN_IF_ERROR(scores_.Allocate(places, "the scores"));
  for (uint32_t first = shard.begin; first < shard.end; first += most) {
    if (stop.stop_requested()) return Cancelled("evaluation stopped on request");
    const Shard part{first, first + std::min(most, shard.end - first)};
    cuda::Sequences sequences = MemberSequences(part);
    sequences.scores = scores_.data();
    HATCHERY_RETURN_IF_ERROR(Run(sequences));
    HATCHERY_RETURN_IF_ERROR(
        scores_.CopyTo(scores.subspan(2 * (first - shard.begin), 2 * size_t{part.pairs()})));
  }
  return {};
}

StatusOr<HeldOutSums> CudaReplica::Validate(uint32_t begin, uint32_t end, std::stop_token stop) {
  HATCHERY_RETURN_IF_ERROR(CheckValidate(spec_, begin, end, held_out_bytes_));
  if (begin == end) return HeldOutSums{};
  HATCHERY_RETURN_IF_ERROR(UseDevice());
  const StreamSpan stream = HeldOutStream(held_out_bytes_, spec_.held_out_streams, begin);
  const uint64_t length = stream.end - stream.begin;
  const uint32_t most = SequencesAtOnce(length);
  if (sums_.size() < std::min(most, end - begin))
    HATCHERY_RETURN_IF_ERROR(sums_.Allocate(std::min(most, end - begin), "the held-out sums"));
  HeldOutSums total;
  for (uint32_t first = begin; first < end; first += most) {
    if (stop.stop_requested()) return Cancelled("validation stopped on request");
    std::vector<cuda::SequenceSums> sums(std::min(most, end - first));
    cuda::Sequences sequences{};
    sequences.count = static_cast<uint32_t>(sums.size());
    sequences.bytes = held_out_.data() + first * length;
    sequences.tokens = static_cast<uint32_t>(length - 1);
    sequences.stride = length;
    sequences.sums = sums_.data();
    HATCHERY_RETURN_IF_ERROR(Run(sequences));
    HATCHERY_RETURN_IF_ERROR(sums_.CopyTo(sums));
    for (const cuda::SequenceSums& s : sums)
      total += HeldOutSums{s.score, s.coarse_score, s.correct, length - 1};
  }
  return total;
}

// Tiles, `height` x `width`, of the rows of `tensor` that overlap bytes [begin, end) of the
// replica.
void AppendTiles(const Tensor& tensor, uint32_t height, uint32_t width, uint64_t begin,
                 uint64_t end, std::vector<cuda::UpdateTile>& tiles) {
  for (uint32_t row = 0; row < tensor.rows; row += height) {
    const uint64_t first = tensor.offset + uint64_t{row} * tensor.columns;
    const uint64_t last = first + uint64_t{height} * tensor.columns;
    if (last <= begin || first >= end) continue;
    for (uint32_t column = 0; column < tensor.columns; column += width)
      tiles.push_back({tensor.offset, tensor.id, tensor.rows, tensor.columns, row, column});
  }
}

Status CopyTiles(std::span<const cuda::UpdateTile> tiles, cuda::Buffer<cuda::UpdateTile>& to) {
  if (to.size() < tiles.size())
    HATCHERY_RETURN_IF_ERROR(to.Allocate(tiles.size(), "the update's tiles"));
  return to.CopyFrom(tiles);
}

uint32_t LargestMagnitude(std::span<const int8_t> values) {
  int32_t largest = 0;
  for (int8_t v : values) largest = std::max(largest, std::abs(int32_t{v}));
  return static_cast<uint32_t>(largest);
}

Status CudaReplica::ComputeUpdate(const Commit& commit, uint64_t offset, uint64_t size) {
  HATCHERY_RETURN_IF_ERROR(CheckCommit(*this, commit));
  HATCHERY_RETURN_IF_ERROR(CheckBytes("update", model_, offset, size));
  HATCHERY_RETURN_IF_ERROR(UseDevice());
  const std::vector<int8_t> fitness = DecodeFitness(commit.encoding, commit.fitness, spec_.pairs());
  const Thresholds thresholds = ComputeThresholds(spec_, commit, fitness);
  HATCHERY_RETURN_IF_ERROR(fitness_.CopyFrom(fitness));
  const cuda::UpdateStep step{fitness_.data(), spec_.pairs(),
                              core::NoiseStep(step_, spec_.noise_reuse), thresholds.matrix,
                              thresholds.element};
  const bool fast = options_.kernels != CudaKernels::kReference &&
                    cuda::FastUpdateFits(View(), spec_.pairs(), LargestMagnitude(fitness));
  const cuda::UpdateMethod& of_matrices = fast ? *fast_matrices_ : cuda::kReferenceMatrices;
  const cuda::UpdateMethod& of_elements =
      fast ? cuda::kRademacherElements : cuda::kReferenceElements;
  std::vector<cuda::UpdateTile> matrices, elements;
  for (const Tensor& t : model_.tensors()) {
    const bool matrix = t.kind == TensorKind::kMatrix;
    const cuda::UpdateMethod& method = matrix ? of_matrices : of_elements;
    AppendTiles(t, method.height, method.width, offset, offset + size,
                matrix ? matrices : elements);
  }
  HATCHERY_RETURN_IF_ERROR(CopyTiles(matrices, matrix_tiles_));
  HATCHERY_RETURN_IF_ERROR(CopyTiles(elements, element_tiles_));
  HATCHERY_RETURN_IF_ERROR(UpdateTiles(step, of_matrices, matrix_tiles_, matrices.size()));
  HATCHERY_RETURN_IF_ERROR(UpdateTiles(step, of_elements, element_tiles_, elements.size()));
  return FromCuda(cudaDeviceSynchronize(), "update");
}

Status CudaReplica::UpdateTiles(const cuda::UpdateStep& step, const cuda::UpdateMethod& method,
                                const cuda::Buffer<cuda::UpdateTile>& tiles, size_t count) {
  const size_t tile_sums = method.keeps_sums ? size_t{method.height} * method.width : 0;
  size_t at_once = method.keeps_sums ? std::min(kSumsAtOnce / tile_sums, count) : count;
  if (update_sums_.size() < at_once * tile_sums)
    HATCHERY_RETURN_IF_ERROR(AllocateAtMost(at_once, [this, tile_sums](size_t most) {
      return update_sums_.Allocate(most * tile_sums, "the update's sums");
    }));
  for (size_t first = 0; first < count; first += at_once) {
    const auto part = static_cast<uint32_t>(std::min(at_once, count - first));
    HATCHERY_RETURN_IF_ERROR(FromCuda(
        method.launch(View(), step, tiles.data() + first, part, update_sums_.data(), next_.data()),
        "launch the update"));
  }
  return {};
}

Status CudaReplica::Apply(const Commit& commit) {
  HATCHERY_RETURN_IF_ERROR(ComputeUpdate(commit, 0, model_.bytes()));
  std::swap(weights_, next_);
  ++step_;
  return WeightsChanged();
}

Status CudaReplica::UpdateSlice(const Commit& commit, uint64_t offset, std::span<int8_t> out) {
  HATCHERY_RETURN_IF_ERROR(ComputeUpdate(commit, offset, out.size()));
  return next_.CopyTo(out, offset);
}

Status CudaReplica::Install(uint64_t offset, std::span<const int8_t> bytes) {
  HATCHERY_RETURN_IF_ERROR(CheckBytes("install", model_, offset, bytes.size()));
  HATCHERY_RETURN_IF_ERROR(UseDevice());
  HATCHERY_RETURN_IF_ERROR(weights_.CopyFrom(bytes, offset));
  return WeightsChanged();
}

StatusOr<core::Digest> CudaReplica::DigestOf(uint64_t offset, uint64_t size) {
  HATCHERY_RETURN_IF_ERROR(CheckBytes("digest", model_, offset, size));
  HATCHERY_RETURN_IF_ERROR(UseDevice());
  unsigned long long lanes[2] = {0, 0};
  HATCHERY_RETURN_IF_ERROR(lanes_.CopyFrom(lanes));
  HATCHERY_RETURN_IF_ERROR(FromCuda(
      cuda::AddDigest(weights_.data(), offset / 8, size / 8, lanes_.data()), "launch the digest"));
  HATCHERY_RETURN_IF_ERROR(lanes_.CopyTo(lanes));
  return core::Digest{lanes[0], lanes[1]};
}

StatusOr<std::vector<int8_t>> CudaReplica::Snapshot() {
  HATCHERY_RETURN_IF_ERROR(UseDevice());
  std::vector<int8_t> weights(model_.bytes());
  HATCHERY_RETURN_IF_ERROR(weights_.CopyTo(weights));
  return weights;
}

Status CudaReplica::Restore(uint32_t step, std::span<const int8_t> weights) {
  HATCHERY_RETURN_IF_ERROR(CheckWeights(model_, weights.size()));
  HATCHERY_RETURN_IF_ERROR(UseDevice());
  // Both copies, so that padding is the same in each.
  HATCHERY_RETURN_IF_ERROR(weights_.CopyFrom(weights));
  HATCHERY_RETURN_IF_ERROR(next_.CopyFrom(weights));
  step_ = step;
  return WeightsChanged();
}

Status CudaReplica::WeightsChanged() {
  if (kernel_ == Kernel::kReference) return {};
  return FromCuda(kernel_ == Kernel::kHopper ? cuda::HopperPack(View(), HopperMemory())
                                             : cuda::MmaPack(View(), MmaMemory()),
                  "arrange the weights");
}

StatusOr<std::vector<int8_t>> CudaReplica::Logits(uint8_t token, RecurrentState& state) {
  HATCHERY_RETURN_IF_ERROR(PrepareState(spec_, state));
  HATCHERY_RETURN_IF_ERROR(UseDevice());
  HATCHERY_RETURN_IF_ERROR(states_.CopyFrom(state));
  HATCHERY_RETURN_IF_ERROR(token_.CopyFrom(std::span(&token, 1)));
  cuda::Sequences sequences{};
  sequences.count = sequences.tokens = sequences.unscored = 1;
  sequences.bytes = token_.data();
  sequences.logits = logits_.data();
  HATCHERY_RETURN_IF_ERROR(
      FromCuda(cuda::EvaluateReference(View(), sequences, 1, states_.data(), true),
               "launch the evaluation"));
  std::vector<int8_t> logits(core::kVocabulary);
  HATCHERY_RETURN_IF_ERROR(logits_.CopyTo(logits));
  HATCHERY_RETURN_IF_ERROR(states_.CopyTo(state));
  return logits;
}

}  // namespace

int CudaDeviceCount() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

Status CheckCudaDevice(int device) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && device >= 0 && device < count) return {};
  const std::string line = "there is no CUDA device " + std::to_string(device);
  if (error != cudaSuccess)
    return NotFound(line + ": " + cudaGetErrorString(error) + "; use the CPU backend");
  return NotFound(line + "; this process sees " + std::to_string(count) +
                  (count == 0 ? "; use the CPU backend" : ", numbered from 0"));
}

StatusOr<DeviceMemory> CudaMemory(int device) {
  size_t free = 0, size = 0;
  if (cudaSetDevice(device) != cudaSuccess || cudaMemGetInfo(&free, &size) != cudaSuccess)
    return Unavailable("CUDA device " + std::to_string(device) + " does not tell its memory");
  return DeviceMemory{device, free, size};
}

StatusOr<std::unique_ptr<Replica>> CreateCudaReplica(const JobSpec& spec, DataView data,
                                                     const CudaOptions& options) {
  HATCHERY_RETURN_IF_ERROR(spec.Validate());
  if (!data.train.empty()) HATCHERY_RETURN_IF_ERROR(CheckData(spec, data));
  HATCHERY_RETURN_IF_ERROR(CheckCudaDevice(options.device));
  auto replica = std::make_unique<CudaReplica>(spec, data, options);
  HATCHERY_RETURN_IF_ERROR(replica->Open(data));
  return std::unique_ptr<Replica>(std::move(replica));
}

}  // namespace hatchery

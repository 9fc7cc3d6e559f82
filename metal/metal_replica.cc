// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "metal/metal_replica.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <stop_token>

#include "kernels/core/egg.h"
#include "kernels/core/update.h"
#include "metal/layout.h"
#include "metal/plan.h"

namespace hatchery {
namespace {

using apple::Batch;
using apple::Buffer;
using apple::Bytes;
using apple::Dispatch;
using apple::Kernel;

using BufferPointer = std::unique_ptr<Buffer>;

constexpr uint32_t kDigestGroups = 128;

uint32_t Ceil(uint64_t n, uint64_t divisor) {
  return static_cast<uint32_t>((n + divisor - 1) / divisor);
}

class MetalReplica : public Replica {
 public:
  MetalReplica(std::unique_ptr<apple::Device> device, const JobSpec& spec,
               const MetalOptions& options)
      : spec_(spec),
        model_(spec),
        shape_(apple::ShapeOf(spec)),
        options_(options),
        device_(std::move(device)) {}

  // Takes memory and sets the initial weights.
  Status Open(DataView data);

  const JobSpec& spec() const override { return spec_; }
  const Model& model() const override { return model_; }
  uint32_t step() const override { return step_; }
  std::string Description() const override {
    const apple::DeviceInfo info = device_->info();
    return "metal (" + info.name + ", " + info.family + (far_ ? ", wide model)" : ")");
  }

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
  Status Allocate(uint64_t bytes, const char* what, BufferPointer& out);
  // The same, unless `out` has so many bytes already.
  Status Reserve(uint64_t bytes, const char* what, BufferPointer& out);
  Status AllocateModel();
  Status LoadData(DataView data);

  // Arguments of sequences that are all `members` of the perturbed population, or streams.
  apple::EvaluateArguments Arguments(bool perturbed) const;
  // Feeds `count` sequences of `tokens` bytes; `args` is that of the first. Their sums are then at
  // the beginning of sums_.
  Status Feed(apple::EvaluateArguments args, uint32_t count, uint32_t tokens, Buffer* bytes,
              std::stop_token stop);
  Dispatch DrawNoise(const apple::EvaluateArguments& args) const;
  Dispatch EvaluatePart(const apple::EvaluateArguments& args, Buffer* bytes,
                        uint32_t first_sequence) const;

  // Of `tokens`, in one part of an evaluation of so many members.
  uint32_t TokensAtOnce(uint32_t members, uint32_t tokens) const;

  // New weights of the tensors that overlap [offset, offset + size), in next_.
  Status ComputeUpdate(const Commit& commit, uint64_t offset, uint64_t size);
  Status AppendUpdate(const std::vector<apple::UpdateTile>& tiles, bool matrices,
                      uint64_t threshold, BufferPointer& on_device, std::vector<Batch>& batches);
  // After weights_ changed.
  void Arrange();
  Buffer* ArrangedWeights() const { return padded_ ? padded_.get() : weights_.get(); }

  const JobSpec spec_;
  const Model model_;
  const apple::Shape shape_;
  const MetalOptions options_;
  const std::unique_ptr<apple::Device> device_;
  bool far_ = false;
  uint32_t groups_ = 0;  // of a dispatch at most
  uint32_t step_ = 0;
  uint64_t train_bytes_ = 0, held_out_bytes_ = 0;

  BufferPointer weights_;  // the replica
  BufferPointer next_;     // weights being computed; padding as in weights_
  BufferPointer padded_;   // the weights as the kernels read them; null: as they lie in weights_
  BufferPointer units_, noise_, scratch_, sums_, stop_;
  BufferPointer train_, held_out_, token_;
  BufferPointer fitness_, matrix_tiles_, element_tiles_, digest_parts_;
};

Status MetalReplica::Allocate(uint64_t bytes, const char* what, BufferPointer& out) {
  out.reset();  // first, so that old and new need not fit together
  HATCHERY_ASSIGN_OR_RETURN(out, device_->Allocate(std::max<uint64_t>(bytes, 16), what));
  return {};
}

Status MetalReplica::Reserve(uint64_t bytes, const char* what, BufferPointer& out) {
  if (out && out->size() >= bytes) return {};
  return Allocate(bytes, what, out);
}

Status MetalReplica::Open(DataView data) {
  const apple::DeviceInfo info = device_->info();
  far_ = options_.far || shape_.NearBytes() > info.threadgroup_bytes;
  // Every threadgroup holds the activations of kTile members and the noise of half as many pairs.
  const uint64_t group_bytes = shape_.Scratch() + apple::kTile / 2 * uint64_t{shape_.Noise()};
  const uint64_t all = Ceil(std::max(spec_.population, spec_.held_out_streams), apple::kTile);
  groups_ = static_cast<uint32_t>(std::clamp<uint64_t>(options_.bytes / group_bytes, 1,
                                                       std::min<uint64_t>(options_.groups, all)));
  HATCHERY_RETURN_IF_ERROR(AllocateModel());
  HATCHERY_RETURN_IF_ERROR(LoadData(data));
  return Restore(0, InitialWeights(model_, spec_.seed));
}

Status MetalReplica::AllocateModel() {
  HATCHERY_RETURN_IF_ERROR(Allocate(model_.bytes(), "the model", weights_));
  HATCHERY_RETURN_IF_ERROR(Allocate(model_.bytes(), "the model's update", next_));
  if (!apple::NeedsNoPadding(shape_))
    HATCHERY_RETURN_IF_ERROR(Allocate(shape_.Weights(), "the padded model", padded_));
  HATCHERY_RETURN_IF_ERROR(Allocate(groups_ * shape_.Scratch(), "the activations", scratch_));
  HATCHERY_RETURN_IF_ERROR(Allocate(4, "a request to stop", stop_));
  HATCHERY_RETURN_IF_ERROR(Allocate(1, "a token", token_));
  HATCHERY_RETURN_IF_ERROR(Allocate(spec_.pairs(), "the fitness", fitness_));
  HATCHERY_RETURN_IF_ERROR(
      Allocate(kDigestGroups * sizeof(core::Digest), "the digest", digest_parts_));
  const std::vector<apple::NoiseUnit> units = apple::NoiseUnitsOf(shape_);
  HATCHERY_RETURN_IF_ERROR(Allocate(units.size() * sizeof units[0], "the noise's table", units_));
  std::memcpy(units_->data(), units.data(), units.size() * sizeof units[0]);
  return {};
}

Status MetalReplica::LoadData(DataView data) {
  train_bytes_ = data.train.size();
  held_out_bytes_ = data.held_out.size();
  HATCHERY_RETURN_IF_ERROR(Allocate(train_bytes_, "the training data", train_));
  HATCHERY_RETURN_IF_ERROR(Allocate(held_out_bytes_, "the held-out data", held_out_));
  std::copy(data.train.begin(), data.train.end(), train_->as<uint8_t>());
  std::copy(data.held_out.begin(), data.held_out.end(), held_out_->as<uint8_t>());
  return {};
}

apple::EvaluateArguments MetalReplica::Arguments(bool perturbed) const {
  apple::EvaluateArguments args{};
  args.shape = shape_;
  args.seed = spec_.seed;
  args.perturbed = perturbed;
  args.pairs_per_group = spec_.group_size / 2;
  args.step = step_;
  args.noise_step = core::NoiseStep(step_, spec_.noise_reuse);
  args.scored = 1;
  return args;
}

Dispatch MetalReplica::DrawNoise(const apple::EvaluateArguments& args) const {
  apple::NoiseArguments noise{};
  noise.seed = args.seed;
  noise.noise_step = args.noise_step;
  noise.first_pair = args.first_pair;
  noise.pairs = args.count / 2;
  noise.units = shape_.Noise() / 16;
  noise.gaussian = shape_.gaussian;
  return {Kernel::kDrawNoise,
          {{units_.get()}, {noise_.get()}},
          Bytes(noise),
          Ceil(uint64_t{noise.pairs} * noise.units, apple::kThreads),
          0};
}

Dispatch MetalReplica::EvaluatePart(const apple::EvaluateArguments& args, Buffer* bytes,
                                    uint32_t first_sequence) const {
  return {far_ ? Kernel::kEvaluateFar : Kernel::kEvaluateNear,
          {{ArrangedWeights()},
           {noise_ ? noise_.get() : scratch_.get()},  // not read where nothing is perturbed
           {bytes},
           {scratch_.get()},
           {sums_.get(), first_sequence * sizeof(apple::SequenceSums)},
           {stop_.get()}},
          Bytes(args),
          Ceil(args.count, apple::kTile),
          apple::PaddedTo(far_ ? shape_.DotBytes() : shape_.NearBytes(), 16)};
}

// A threadgroup takes as long alone as beside as many others as fill the GPU.
uint32_t MetalReplica::TokensAtOnce(uint32_t members, uint32_t tokens) const {
  constexpr uint32_t kFull = 1024;  // members: 32 threadgroups, for GPUs of 10 cores and more
  const uint64_t token =
      std::max(apple::PaddedTo(members, apple::kTile), kFull) * model_.matrix_parameters();
  return static_cast<uint32_t>(std::clamp<uint64_t>(options_.work / token, 1, tokens));
}

Status MetalReplica::Feed(apple::EvaluateArguments args, uint32_t count, uint32_t tokens,
                          Buffer* bytes, std::stop_token stop) {
  if (stop.stop_requested()) return Cancelled("evaluation stopped on request");
  HATCHERY_RETURN_IF_ERROR(
      Reserve(uint64_t{count} * sizeof(apple::SequenceSums), "the scores", sums_));
  if (args.perturbed != 0)
    HATCHERY_RETURN_IF_ERROR(
        Reserve(uint64_t{groups_} * apple::kTile / 2 * shape_.Noise(), "the noise", noise_));
  std::vector<Batch> batches;
  const apple::EvaluateArguments whole = args;
  for (uint32_t first = 0; first < count; first += groups_ * apple::kTile) {
    args.count = std::min(groups_ * apple::kTile, count - first);
    if (args.perturbed != 0)
      args.first_pair = whole.first_pair + first / 2;
    else
      args.begin = whole.begin + first * whole.stride;
    if (args.perturbed != 0) batches.push_back({DrawNoise(args)});
    const uint32_t at_once = TokensAtOnce(args.count, tokens);
    for (args.first_token = 0; args.first_token < tokens; args.first_token = args.end_token) {
      args.end_token = std::min(tokens, args.first_token + at_once);
      args.fresh = whole.fresh != 0 && args.first_token == 0;
      batches.push_back({EvaluatePart(args, bytes, first)});
    }
  }
  std::atomic_ref<uint32_t> stopped(*stop_->as<uint32_t>());
  stopped = 0;
  const std::stop_callback on_stop(stop, [&] { stopped = 1; });
  HATCHERY_RETURN_IF_ERROR(device_->Run(batches));
  if (stop.stop_requested()) return Cancelled("evaluation stopped on request");
  return {};
}

Status MetalReplica::Evaluate(Shard shard, std::stop_token stop, std::span<int32_t> scores) {
  HATCHERY_RETURN_IF_ERROR(CheckEvaluate(spec_, shard, scores.size(), train_bytes_));
  apple::EvaluateArguments args = Arguments(true);
  args.first_pair = shard.begin;
  args.positions = train_bytes_ - spec_.burn_in - spec_.window;
  args.unscored = spec_.burn_in;
  args.fresh = 1;
  HATCHERY_RETURN_IF_ERROR(
      Feed(args, 2 * shard.pairs(), spec_.burn_in + spec_.window, train_.get(), stop));
  for (size_t i = 0; i < scores.size(); ++i)
    scores[i] = static_cast<int32_t>(sums_->as<apple::SequenceSums>()[i].score);
  return {};
}

StatusOr<HeldOutSums> MetalReplica::Validate(uint32_t begin, uint32_t end, std::stop_token stop) {
  HATCHERY_RETURN_IF_ERROR(CheckValidate(spec_, begin, end, held_out_bytes_));
  HeldOutSums total;
  if (begin == end) return total;
  const StreamSpan stream = HeldOutStream(held_out_bytes_, spec_.held_out_streams, begin);
  apple::EvaluateArguments args = Arguments(false);
  args.begin = stream.begin;
  args.stride = stream.end - stream.begin;
  args.fresh = 1;
  const auto tokens = static_cast<uint32_t>(args.stride - 1);
  HATCHERY_RETURN_IF_ERROR(Feed(args, end - begin, tokens, held_out_.get(), stop));
  for (uint32_t i = 0; i < end - begin; ++i) {
    const apple::SequenceSums& sums = sums_->as<apple::SequenceSums>()[i];
    total += HeldOutSums{sums.score, sums.coarse_score, sums.correct, tokens};
  }
  return total;
}

StatusOr<std::vector<int8_t>> MetalReplica::Logits(uint8_t token, RecurrentState& state) {
  HATCHERY_RETURN_IF_ERROR(PrepareState(spec_, state));
  *token_->as<uint8_t>() = token;
  int8_t* states = scratch_->as<int8_t>() + shape_.StateScratch();
  for (uint32_t l = 0; l < spec_.layers; ++l) {
    int8_t* row = states + l * shape_.Rows();
    std::memset(row, 0, shape_.padded);
    std::memcpy(row, state.data() + size_t{l} * spec_.hidden, spec_.hidden);
  }
  apple::EvaluateArguments args = Arguments(false);
  args.scored = 0;
  HATCHERY_RETURN_IF_ERROR(Feed(args, 1, 1, token_.get(), {}));
  for (uint32_t l = 0; l < spec_.layers; ++l)
    std::memcpy(state.data() + size_t{l} * spec_.hidden, states + l * shape_.Rows(), spec_.hidden);
  const int8_t* logits = scratch_->as<int8_t>() + shape_.WideScratch();
  return std::vector<int8_t>(logits, logits + core::kVocabulary);
}

Status MetalReplica::AppendUpdate(const std::vector<apple::UpdateTile>& tiles, bool matrices,
                                  uint64_t threshold, BufferPointer& on_device,
                                  std::vector<Batch>& batches) {
  const uint64_t bytes = tiles.size() * sizeof(apple::UpdateTile);
  HATCHERY_RETURN_IF_ERROR(Reserve(bytes, "the update's tiles", on_device));
  if (!tiles.empty()) std::memcpy(on_device->data(), tiles.data(), bytes);
  const apple::UpdateArguments args{
      spec_.seed,    threshold,  core::NoiseStep(step_, spec_.noise_reuse),
      spec_.pairs(), spec_.rank, shape_.gaussian};
  // Elements have few products but draw all their noise: a tile counts as a matrix's.
  const uint64_t work =
      uint64_t{apple::kUpdateTile} * apple::kUpdateTile * spec_.pairs() * spec_.rank;
  const uint64_t at_once = std::max<uint64_t>(1, options_.update_work / work);
  for (uint64_t first = 0; first < tiles.size(); first += at_once) {
    Dispatch dispatch{matrices ? Kernel::kUpdateMatrices : Kernel::kUpdateElements,
                      {{weights_.get()},
                       {fitness_.get()},
                       {on_device.get(), first * sizeof(apple::UpdateTile)},
                       {next_.get()}},
                      Bytes(args),
                      static_cast<uint32_t>(std::min<uint64_t>(at_once, tiles.size() - first)),
                      matrices ? apple::kUpdateMatricesShared : apple::kUpdateElementsShared};
    batches.push_back({std::move(dispatch)});
  }
  return {};
}

Status MetalReplica::ComputeUpdate(const Commit& commit, uint64_t offset, uint64_t size) {
  HATCHERY_RETURN_IF_ERROR(CheckCommit(*this, commit));
  HATCHERY_RETURN_IF_ERROR(CheckBytes("update", model_, offset, size));
  const std::vector<int8_t> fitness = DecodeFitness(commit.encoding, commit.fitness, spec_.pairs());
  const Thresholds thresholds = ComputeThresholds(spec_, commit, fitness);
  std::copy(fitness.begin(), fitness.end(), fitness_->as<int8_t>());
  std::vector<Batch> batches;
  HATCHERY_RETURN_IF_ERROR(AppendUpdate(apple::UpdateTilesOf(model_, true, offset, offset + size),
                                        true, thresholds.matrix, matrix_tiles_, batches));
  HATCHERY_RETURN_IF_ERROR(AppendUpdate(apple::UpdateTilesOf(model_, false, offset, offset + size),
                                        false, thresholds.element, element_tiles_, batches));
  return device_->Run(batches);
}

Status MetalReplica::Apply(const Commit& commit) {
  HATCHERY_RETURN_IF_ERROR(ComputeUpdate(commit, 0, model_.bytes()));
  std::swap(weights_, next_);
  ++step_;
  Arrange();
  return {};
}

Status MetalReplica::UpdateSlice(const Commit& commit, uint64_t offset, std::span<int8_t> out) {
  HATCHERY_RETURN_IF_ERROR(ComputeUpdate(commit, offset, out.size()));
  std::memcpy(out.data(), next_->data() + offset, out.size());
  return {};
}

Status MetalReplica::Install(uint64_t offset, std::span<const int8_t> bytes) {
  HATCHERY_RETURN_IF_ERROR(CheckBytes("install", model_, offset, bytes.size()));
  std::memcpy(weights_->data() + offset, bytes.data(), bytes.size());
  Arrange();
  return {};
}

StatusOr<core::Digest> MetalReplica::DigestOf(uint64_t offset, uint64_t size) {
  HATCHERY_RETURN_IF_ERROR(CheckBytes("digest", model_, offset, size));
  core::Digest digest;
  if (size == 0) return digest;
  const uint32_t groups = std::min(kDigestGroups, Ceil(size / 8, apple::kThreads));
  const apple::DigestArguments args{offset / 8, size / 8, groups, 0};
  const Batch batch = {Dispatch{Kernel::kDigestWords,
                                {{weights_.get()}, {digest_parts_.get()}},
                                Bytes(args),
                                groups,
                                apple::kDigestShared}};
  HATCHERY_RETURN_IF_ERROR(device_->Run({&batch, 1}));
  for (uint32_t g = 0; g < groups; ++g) digest += digest_parts_->as<core::Digest>()[g];
  return digest;
}

StatusOr<std::vector<int8_t>> MetalReplica::Snapshot() {
  const int8_t* weights = weights_->as<int8_t>();
  return std::vector<int8_t>(weights, weights + model_.bytes());
}

Status MetalReplica::Restore(uint32_t step, std::span<const int8_t> weights) {
  HATCHERY_RETURN_IF_ERROR(CheckWeights(model_, weights.size()));
  // Both copies, so that padding is the same in each.
  std::memcpy(weights_->data(), weights.data(), weights.size());
  std::memcpy(next_->data(), weights.data(), weights.size());
  step_ = step;
  Arrange();
  return {};
}

void MetalReplica::Arrange() {
  if (padded_)
    apple::PadWeights(model_, shape_, {weights_->as<int8_t>(), model_.bytes()},
                      {padded_->as<int8_t>(), shape_.Weights()});
}

}  // namespace

StatusOr<std::unique_ptr<Replica>> CreateMetalReplica(std::unique_ptr<apple::Device> device,
                                                      const JobSpec& spec, DataView data,
                                                      const MetalOptions& options) {
  HATCHERY_RETURN_IF_ERROR(spec.Validate());
  if (!data.train.empty()) HATCHERY_RETURN_IF_ERROR(CheckData(spec, data));
  auto replica = std::make_unique<MetalReplica>(std::move(device), spec, options);
  HATCHERY_RETURN_IF_ERROR(replica->Open(data));
  return std::unique_ptr<Replica>(std::move(replica));
}

StatusOr<std::unique_ptr<Replica>> CreateMetalReplica(const JobSpec& spec, DataView data,
                                                      const MetalOptions& options) {
  HATCHERY_RETURN_IF_ERROR(spec.Validate());
  HATCHERY_ASSIGN_OR_RETURN(auto device, apple::OpenDevice());
  return CreateMetalReplica(std::move(device), spec, data, options);
}

}  // namespace hatchery

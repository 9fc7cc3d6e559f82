// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// hatchery-bench: tokens a second of training on GPUs, and of its parts, for egg 6 x 256 on random
// bytes. Each population is that of one GPU times the GPUs. Medians of wall-clock times of whole
// calls, device synchronised.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/core/philox.h"
#include "kernels/cuda/cuda_replica.h"
#include "kernels/cuda/device.h"
#include "kernels/gang.h"
#include "services/common/guard.h"

namespace hatchery {
namespace {

double Seconds(const std::function<Status()>& call) {
  const auto start = std::chrono::steady_clock::now();
  const Status status = call();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  if (status.ok()) return elapsed.count();
  std::fprintf(stderr, "hatchery-bench: %s\n", status.message().c_str());
  std::exit(1);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::vector<uint8_t> Text(size_t size) {
  std::vector<uint8_t> text(size);
  for (size_t i = 0; i < size; ++i)
    text[i] = static_cast<uint8_t>('a' + core::Philox({uint32_t(i), 0, 0, 0}, 1).w0 % 26);
  return text;
}

struct Row {
  uint32_t population, window;
  double forward, update, step;  // tokens/s, seconds, seconds
};

using Devices = std::vector<int>;

std::unique_ptr<Replica> Create(const JobSpec& spec, DataView data, const Devices& devices) {
  auto created = CreateGang(devices, [&](int device) {
    CudaOptions options;
    options.device = device;
    return CreateCudaReplica(spec, data, options);
  });
  if (created.ok()) return std::move(*created);
  std::fprintf(stderr, "hatchery-bench: %s\n", created.status().message().c_str());
  std::exit(1);
}

Row Measure(const JobSpec& spec, DataView data, const Devices& devices, int repeats) {
  std::unique_ptr<Replica> owned = Create(spec, data, devices);
  Replica& replica = *owned;
  std::vector<int32_t> scores(spec.population);
  std::vector<double> forward, update, step;
  for (int i = 0; i <= repeats; ++i) {
    const double f = Seconds([&] { return replica.Evaluate({0, spec.pairs()}, {}, scores); });
    Commit commit;
    const double c = Seconds([&] {
      commit = MakeSignCommit(spec, replica.step(), EncodeSigns(scores));
      return Status();
    });
    const double u = Seconds([&] {
      HATCHERY_RETURN_IF_ERROR(replica.Apply(commit));
      return replica.DigestOfAll().status();
    });
    if (i == 0) continue;  // warm-up
    forward.push_back(f);
    update.push_back(u);
    step.push_back(f + c + u);
  }
  return {spec.population, spec.window, Median(forward), Median(update), Median(step)};
}

// Tokens/s of the unperturbed model over `streams` streams.
double MeasureUnperturbed(std::span<const uint8_t> text, uint32_t streams, const Devices& devices) {
  JobSpec spec;
  spec.held_out_streams = streams;
  std::unique_ptr<Replica> replica = Create(spec, {text, text}, devices);
  std::vector<double> seconds;
  uint64_t tokens = 0;
  for (int i = 0; i < 3; ++i)
    seconds.push_back(Seconds([&]() -> Status {
      HATCHERY_ASSIGN_OR_RETURN(const HeldOutSums sums,
                                replica->Validate(0, spec.held_out_streams, {}));
      tokens = sums.tokens;
      return {};
    }));
  return static_cast<double>(tokens) / Median(seconds);
}

// Bytes/s, read and written, of a copy within the device's memory.
double MeasureCopy() {
  constexpr size_t kBytes = size_t{1} << 31;
  cuda::Buffer<int8_t> from, to;
  std::vector<double> seconds;
  for (int i = 0; i < 5; ++i)
    seconds.push_back(Seconds([&]() -> Status {
      if (i == 0) {
        HATCHERY_RETURN_IF_ERROR(from.Allocate(kBytes, "a copy's source"));
        HATCHERY_RETURN_IF_ERROR(to.Allocate(kBytes, "a copy's target"));
      }
      HATCHERY_RETURN_IF_ERROR(cuda::FromCuda(
          cudaMemcpy(to.data(), from.data(), kBytes, cudaMemcpyDeviceToDevice), "copy"));
      return cuda::FromCuda(cudaDeviceSynchronize(), "copy");
    }));
  return 2.0 * kBytes / Median(seconds);
}

int Run(bool json, const Devices& devices) {
  const auto gpus = static_cast<uint32_t>(devices.size());
  const std::vector<uint8_t> text = Text(1 << 20);
  struct Shape {
    uint32_t population, window;
  };
  if (!json)
    std::printf("%10s %6s %16s %16s %12s %12s\n", "population", "window", "train tokens/s",
                "forward tokens/s", "update ms", "step ms");
  for (const Shape shape :
       {Shape{1024, 100}, {16896, 100}, {32768, 100}, {131072, 25}, {131072, 100}}) {
    JobSpec spec;
    spec.population = shape.population * gpus;
    spec.window = shape.window;
    const Row row = Measure(spec, {text, {}}, devices, 3);
    const double tokens = double(spec.population) * shape.window;
    std::printf(json ? "{\"population\":%u,\"window\":%u,\"train_tokens_per_second\":%.0f,"
                       "\"forward_tokens_per_second\":%.0f,\"update_ms\":%.3f,\"step_ms\":%.3f}\n"
                     : "%10u %6u %16.0f %16.0f %12.3f %12.3f\n",
                row.population, row.window, tokens / row.step, tokens / row.forward,
                row.update * 1e3, row.step * 1e3);
    std::fflush(stdout);
  }
  // As many streams as the largest population has members.
  const uint32_t streams = 131072 * gpus;
  const double unperturbed = MeasureUnperturbed(Text(size_t{streams} * 101), streams, devices);
  const double copy = MeasureCopy();
  std::printf(json ? "{\"unperturbed_tokens_per_second\":%.0f,\"copy_bytes_per_second\":%.0f}\n"
                   : "unperturbed forward, 131,072 streams x 100 a device: %.0f tokens/s\n"
                     "device copy: %.3g bytes/s read and written\n",
              unperturbed, copy);
  return 0;
}

}  // namespace
}  // namespace hatchery

namespace {

constexpr char kUsage[] =
    "usage: hatchery-bench [--json] [--devices 0,1]\n"
    "Tokens a second of training on GPUs, and of its parts, for egg 6 x 256 on random bytes.\n"
    "  --json         one JSON object a line\n"
    "  --devices LIST CUDA devices that work together; 0 unless given\n"
    "  --version      the version\n";

int Main(int argc, char** argv) {
  bool json = false;
  std::string devices = "0";
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0) {
      json = true;
    } else if (std::strcmp(argv[i], "--devices") == 0 && i + 1 < argc) {
      devices = argv[++i];
    } else if (std::strcmp(argv[i], "--version") == 0) {
      std::printf("hatchery-bench " HATCHERY_VERSION "\n");
      return 0;
    } else if (std::strcmp(argv[i], "--help") == 0) {
      std::printf("%s", kUsage);
      return 0;
    } else {
      std::fprintf(stderr, "hatchery-bench: cannot use %s; --help tells what can be given\n",
                   argv[i]);
      return 2;
    }
  }
  const auto parsed = hatchery::ParseDevices(devices);
  if (parsed.ok()) return hatchery::Run(json, *parsed);
  std::fprintf(stderr, "hatchery-bench: %s\n", parsed.status().message().c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  return hatchery::GuardedMain("hatchery-bench", [&] { return Main(argc, argv); });
}

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// hatchery-bench: tokens a second of training on GPUs, and of its parts, for egg 6 x 256 on random
// bytes, beside the rates of products and copies that bound them, all in one run. Each population
// is that of one GPU times the GPUs. Medians of wall-clock times of whole calls, device
// synchronised. A step is the forward pass, to scores in this process's memory (between GPUs of one
// process there is no other exchange of them); "exchange", which is turning them into the signs
// that a commit carries; and the update with its digest. Nothing is journalled.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/device_rates.h"
#include "kernels/core/philox.h"
#include "kernels/cuda/cuda_replica.h"
#include "kernels/cuda/device.h"
#include "kernels/gang.h"
#include "services/common/guard.h"

namespace hatchery {
namespace {

// Ends the program, with the reason, unless `status` is OK.
void Check(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "hatchery-bench: %s\n", status.message().c_str());
  std::exit(1);
}

double Seconds(const std::function<Status()>& call) {
  const auto start = std::chrono::steady_clock::now();
  const Status status = call();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  Check(status);
  return elapsed.count();
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
  double forward, exchange, update, step;  // seconds
  double tokens() const { return double(population) * window; }
};

using Devices = std::vector<int>;

std::unique_ptr<Replica> Create(const JobSpec& spec, DataView data, const Devices& devices) {
  auto created = CreateGang(devices, [&](int device) {
    CudaOptions options;
    options.device = device;
    return CreateCudaReplica(spec, data, options);
  });
  Check(created.status());
  return std::move(*created);
}

Row Measure(const JobSpec& spec, DataView data, const Devices& devices, int repeats) {
  std::unique_ptr<Replica> owned = Create(spec, data, devices);
  Replica& replica = *owned;
  std::vector<int32_t> scores(spec.population);
  std::vector<double> forward, exchange, update, step;
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
    exchange.push_back(c);
    update.push_back(u);
    step.push_back(f + c + u);
  }
  return {spec.population,  spec.window,    Median(forward),
          Median(exchange), Median(update), Median(step)};
}

// Tokens/s of the unperturbed model over `streams` streams. Validate is what runs it, and also
// finds the largest of 256 logits and sums a coarse score, so that this is a little low.
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

// Operations of int8 products that one token costs.
double OperationsPerToken() {
  return 2 * static_cast<double>(Model(JobSpec()).matrix_parameters());
}

// "580.159.04"; CUDA itself tells only the newest CUDA that the driver serves.
std::string DriverRelease() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::string word;
  while (file >> word)
    if (std::isdigit(static_cast<unsigned char>(word[0])) && word.find('.') != std::string::npos)
      return word;
  return "unknown";
}

// What this runs on, without which no figure means anything.
void PrintMachine(bool json, const Devices& devices) {
  int driver = 0, runtime = 0;
  Check(cuda::FromCuda(cudaDriverGetVersion(&driver), "read the driver's version"));
  Check(cuda::FromCuda(cudaRuntimeGetVersion(&runtime), "read the runtime's version"));
  const std::string release = DriverRelease();
  for (const int device : devices) {
    cudaDeviceProp properties;
    Check(cuda::FromCuda(cudaGetDeviceProperties(&properties, device), "read the device's name"));
    std::printf(json ? "{\"device\":%d,\"name\":\"%s\",\"multiprocessors\":%d,\"driver\":\"%s\","
                       "\"driver_cuda\":\"%d.%d\",\"runtime_cuda\":\"%d.%d\"}\n"
                     : "device %d: %s, %d multiprocessors, driver %s (CUDA %d.%d), runtime CUDA "
                       "%d.%d\n",
                device, properties.name, properties.multiProcessorCount, release.c_str(),
                driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  }
  std::fflush(stdout);
}

// One line of what bounds the device; `value` is absent where it could not be measured.
void PrintRate(bool json, const char* key, const char* what, StatusOr<double> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "hatchery-bench: %s: %s\n", what, value.status().message().c_str());
    return;
  }
  if (json)
    std::printf("{\"%s\":%.0f}\n", key, *value);
  else
    std::printf("%-58s %.4g\n", what, *value);
  std::fflush(stdout);
}

void PrintHead() {
  std::printf("%4s %10s %6s %12s %12s %11s %9s %9s %7s %8s %7s\n", "GPUs", "population", "window",
              "train tok/s", "forward", "exchange ms", "update ms", "step ms", "update", "of limit",
              "scaling");
}

void PrintLegend() {
  std::printf(
      "forward: to scores in host memory; exchange: scores to the signs of a commit, all that is\n"
      "left of it in one process; update: with its digest; step: these three, without a journal\n");
}

// `limit`: tokens/s that the GPUs' rate of large products allows, or 0; `alone`: training on one
// GPU with as many members, or 0.
void PrintRow(bool json, const Row& row, size_t gpus, double limit, double alone) {
  const double train = row.tokens() / row.step, forward = row.tokens() / row.forward;
  const double share = row.update / row.step;
  if (json) {
    std::printf(
        "{\"gpus\":%zu,\"population\":%u,\"window\":%u,\"train_tokens_per_second\":%.0f,"
        "\"forward_tokens_per_second\":%.0f,\"exchange_ms\":%.3f,\"update_ms\":%.3f,"
        "\"step_ms\":%.3f,\"update_share\":%.4f",
        gpus, row.population, row.window, train, forward, row.exchange * 1e3, row.update * 1e3,
        row.step * 1e3, share);
    if (limit > 0) std::printf(",\"share_of_product_limit\":%.4f", train / limit);
    if (alone > 0) std::printf(",\"scaling\":%.3f", train / alone);
    std::printf("}\n");
  } else {
    std::printf("%4zu %10u %6u %12.0f %12.0f %11.3f %9.3f %9.3f %6.2f%%", gpus, row.population,
                row.window, train, forward, row.exchange * 1e3, row.update * 1e3, row.step * 1e3,
                100 * share);
    if (limit > 0)
      std::printf(" %7.1f%%", 100 * train / limit);
    else
      std::printf(" %8s", "-");
    if (alone > 0) std::printf(" %7.3f", train / alone);
    std::printf("\n");
  }
  std::fflush(stdout);
}

void Run(bool json, const Devices& devices) {
  PrintMachine(json, devices);
  // What bounds a device.
  constexpr uint32_t kMembers = 131072;
  Check(cuda::FromCuda(cudaSetDevice(devices[0]), "select the device"));
  const StatusOr<double> product = MeasureProduct(8192, 8192, 8192);
  PrintRate(json, "product_operations_per_second",
            "cuBLASLt int8 product 8192 x 8192 x 8192, operations/s", product);
  PrintRate(json, "model_product_operations_per_second",
            "the same of this model's, 256 x 256 x 131,072 members",
            MeasureProduct(256, 256, kMembers));
  PrintRate(json, "copy_bytes_per_second", "copy within the device, bytes/s read and written",
            MeasureCopy());
  const double limit = product.ok() ? *product / OperationsPerToken() : 0;

  std::vector<Devices> sets = {{devices[0]}};
  if (devices.size() > 1) sets.push_back(devices);
  constexpr std::pair<uint32_t, uint32_t> kShapes[] = {
      {1024, 100},    {4096, 100},     {16896, 100},  {32768, 100},
      {kMembers, 25}, {kMembers, 100}, {524288, 100}, {1048576, 100}};
  const std::vector<uint8_t> text = Text(1 << 20);
  if (!json) PrintHead();
  std::map<std::pair<uint32_t, uint32_t>, double> alone;  // training on one
  for (const Devices& set : sets) {
    const auto gpus = static_cast<uint32_t>(set.size());
    double forward = 0;  // of kMembers x 100
    for (const auto& shape : kShapes) {
      JobSpec spec;
      spec.population = shape.first * gpus;
      spec.window = shape.second;
      const Row row = Measure(spec, {text, {}}, set, 3);
      PrintRow(json, row, gpus, limit * gpus, gpus > 1 ? alone[shape] : 0);
      if (gpus == 1) alone[shape] = row.tokens() / row.step;
      if (shape == std::pair{kMembers, 100u}) forward = row.tokens() / row.forward;
    }
    const uint32_t streams = kMembers * gpus;
    const double plain = MeasureUnperturbed(Text(size_t{streams} * 101), streams, set);
    std::printf(json ? "{\"gpus\":%u,\"unperturbed_tokens_per_second\":%.0f,"
                       "\"forward_of_unperturbed\":%.4f}\n"
                     : "%4u GPU, unperturbed forward, 131,072 streams x 100 each: %.0f tokens/s; "
                       "perturbed is %.3f of it\n",
                gpus, plain, forward / plain);
    std::fflush(stdout);
  }
  if (!json) PrintLegend();
}

}  // namespace
}  // namespace hatchery

namespace {

constexpr char kUsage[] =
    "usage: hatchery-bench [--json] [--devices 0,1]\n"
    "Tokens a second of training on GPUs, and of its parts, for egg 6 x 256 on random bytes.\n"
    "  --json         one JSON object a line\n"
    "  --devices LIST CUDA devices; 0 unless given. The first alone, then all of them together\n"
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
  if (parsed.ok()) {
    hatchery::Run(json, *parsed);
    return 0;
  }
  std::fprintf(stderr, "hatchery-bench: %s\n", parsed.status().message().c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  return hatchery::GuardedMain("hatchery-bench", [&] { return Main(argc, argv); });
}

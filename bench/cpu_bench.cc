// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// The CPU backend beside the product that bounds it, in one run:
//
//   product/N    int8 products 512 x 256 x 256 on N threads: "ops" a second
//   evaluate/... egg 6 x 256, population 512, window 100: tokens a second, and "of_limit", the
//                fraction of what that product rate allows at 9.57 M operations a token
//   update       the same job's Apply
#include <benchmark/benchmark.h>

#include <random>
#include <thread>
#include <vector>

#include "cpu_fallback/cpu_replica.h"
#include "cpu_fallback/product.h"

namespace hatchery {
namespace {

constexpr unsigned kThreads = 2;
constexpr size_t kMembers = 512, kWidth = 256;

std::vector<uint8_t> Text() {
  std::mt19937 random(1);
  std::vector<uint8_t> text(1 << 20);
  for (uint8_t& byte : text) byte = "etaoin shrdlu"[random() % 13];
  return text;
}

JobSpec ReferenceJob() {
  JobSpec spec;  // egg 6 x 256
  spec.population = 512;
  spec.window = 100;
  return spec;
}

double OperationsPerToken() {
  return 2 * static_cast<double>(Model(ReferenceJob()).matrix_parameters());
}

// Operations a second of kThreads threads, each with a product of its own.
double ProductRate(CpuProduct kind, int repeats) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      KeepProductsSingleThreaded();
      const auto product = MakeProduct(kind);
      std::vector<int8_t> x(kMembers * kWidth, 3), w(kWidth * kWidth, -5);
      std::vector<int32_t> sums(kMembers * kWidth);
      const auto packed = product->Pack(w.data(), kWidth, kWidth);
      for (int r = 0; r < repeats; ++r) product->Multiply(*packed, x.data(), kMembers, sums.data());
      benchmark::DoNotOptimize(sums.data());
    });
  }
  threads.clear();
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  return 2.0 * kMembers * kWidth * kWidth * repeats * kThreads / time.count();
}

void BM_Product(benchmark::State& state, CpuProduct kind) {
  if (const Status status = CheckProduct(kind); !status.ok())
    return state.SkipWithError(status.message().c_str());
  double rate = 0;
  for (auto _ : state) rate = std::max(rate, ProductRate(kind, 400));
  state.counters["ops"] = rate;
}

void BM_Evaluate(benchmark::State& state, CpuProduct kind) {
  const std::vector<uint8_t> text = Text();
  const JobSpec spec = ReferenceJob();
  const auto replica = CreateCpuReplica(spec, {text, {}}, {kThreads, kind});
  if (!replica.ok()) return state.SkipWithError(replica.status().message().c_str());
  std::vector<int32_t> scores(spec.population);
  double product_rate = 0;
  for (auto _ : state) {
    // The limit, measured between the steps that it is compared with.
    state.PauseTiming();
    product_rate = std::max(product_rate, ProductRate(kind, 200));
    state.ResumeTiming();
    if (!(*replica)->Evaluate({0, spec.pairs()}, {}, scores).ok()) std::abort();
  }
  const double tokens = static_cast<double>(spec.population) * spec.window;
  const double limit = product_rate / OperationsPerToken();
  state.counters["tokens"] =
      benchmark::Counter(tokens, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["of_limit"] =
      benchmark::Counter(tokens / limit, benchmark::Counter::kIsIterationInvariantRate);
}

void BM_Update(benchmark::State& state) {
  const JobSpec spec = ReferenceJob();
  const auto replica = CreateCpuReplica(spec, {}, {kThreads, CpuProduct::kAuto});
  if (!replica.ok()) return state.SkipWithError(replica.status().message().c_str());
  std::mt19937 random(2);
  std::vector<int32_t> scores(spec.population);
  for (auto _ : state) {
    state.PauseTiming();
    for (int32_t& score : scores) score = static_cast<int32_t>(random() % 1000);
    const Commit commit = MakeSignCommit(spec, (*replica)->step(), EncodeSigns(scores));
    state.ResumeTiming();
    if (!(*replica)->Apply(commit).ok()) std::abort();
  }
}

BENCHMARK_CAPTURE(BM_Product, oneDNN, CpuProduct::kOneDnn)->UseRealTime()->Iterations(5);
BENCHMARK_CAPTURE(BM_Product, dot, CpuProduct::kDot)->UseRealTime()->Iterations(5);
BENCHMARK_CAPTURE(BM_Product, portable, CpuProduct::kPortable)->UseRealTime()->Iterations(5);
BENCHMARK_CAPTURE(BM_Evaluate, oneDNN, CpuProduct::kOneDnn)
    ->UseRealTime()
    ->Iterations(8)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Evaluate, dot, CpuProduct::kDot)
    ->UseRealTime()
    ->Iterations(8)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Evaluate, portable, CpuProduct::kPortable)
    ->UseRealTime()
    ->Iterations(2)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Update)->UseRealTime()->Iterations(10)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace hatchery

BENCHMARK_MAIN();

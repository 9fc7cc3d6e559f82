// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// parity TEXT [STEPS] [WINDOW]: trains one small model by the contract on the CPU backend and by
// the oracle with the reference's clipping (-127) and gate (f + 127), at the reference's
// hyperparameters; prints a line a step. The oracle by the contract checks the first steps'
// digests. docs/parity.md holds the curves.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iterator>
#include <numeric>

#include "cpu_fallback/cpu_replica.h"
#include "services/common/guard.h"
#include "tests/oracle/job.h"

namespace hatchery {
namespace {

constexpr uint32_t kCheckedSteps = 3;

JobSpec ReferenceSpec(uint32_t window) {
  JobSpec spec;
  spec.hidden = 32;
  spec.layers = 2;
  spec.noise = core::Noise::kGaussian;
  spec.sigma_shift = 4;
  spec.population = 2048;
  spec.group_size = 2;
  spec.window = window;
  spec.held_out_streams = 1;
  return spec;
}

double BitsPerByte(const JobSpec& spec, const std::vector<int32_t>& scores) {
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  return -sum / 4096.0 / double(spec.window) / double(spec.population);
}

// Fraction of elements in [begin, end) that differ.
double Moved(const std::vector<int8_t>& a, const std::vector<int8_t>& b, size_t begin, size_t end) {
  size_t moved = 0;
  for (size_t i = begin; i < end; ++i) moved += a[i] != b[i];
  return double(moved) / double(end - begin);
}

struct Point {
  double loss, moved, moved_unseen;
};

// Rows of the bytes 128 to 255, which English does not use: their noise is never seen.
Point Measure(const JobSpec& spec, const std::vector<int32_t>& scores,
              const std::vector<int8_t>& before, const std::vector<int8_t>& after) {
  const size_t row = spec.hidden;
  return {BitsPerByte(spec, scores), Moved(before, after, 0, before.size()),
          Moved(before, after, 128 * row, 256 * row)};
}

// One step of the oracle; `weights` advances.
Point OracleStep(const JobSpec& spec, const oracle::Job& job, uint32_t step,
                 const oracle::Bytes& train, oracle::Weights& weights) {
  auto half = std::async(std::launch::async, [&] {
    return oracle::Scores(job, weights, step, train, 0, spec.pairs() / 2);
  });
  const std::vector<int32_t> rest =
      oracle::Scores(job, weights, step, train, spec.pairs() / 2, spec.pairs());
  std::vector<int32_t> scores = half.get();
  scores.insert(scores.end(), rest.begin(), rest.end());
  oracle::Weights next = oracle::Update(job, weights, step, oracle::SignFitness(scores));
  const Point point = Measure(spec, scores, weights, next);
  weights = std::move(next);
  return point;
}

StatusOr<Point> ReplicaStep(const JobSpec& spec, uint32_t step, Replica& replica) {
  std::vector<int32_t> scores(spec.population);
  HATCHERY_RETURN_IF_ERROR(replica.Evaluate({0, spec.pairs()}, {}, scores));
  HATCHERY_ASSIGN_OR_RETURN(const std::vector<int8_t> before, replica.Snapshot());
  HATCHERY_RETURN_IF_ERROR(replica.Apply(MakeSignCommit(spec, step, EncodeSigns(scores))));
  HATCHERY_ASSIGN_OR_RETURN(const std::vector<int8_t> after, replica.Snapshot());
  return Measure(spec, scores, before, after);
}

Status Run(const oracle::Bytes& train, uint32_t steps, uint32_t window) {
  const JobSpec spec = ReferenceSpec(window);
  const oracle::Job contract = OracleJob(spec);
  oracle::Job reference = contract;
  reference.reference_arithmetic = true;
  HATCHERY_ASSIGN_OR_RETURN(const std::unique_ptr<Replica> replica,
                            CreateCpuReplica(spec, DataView{train, {}}));
  oracle::Weights ours = oracle::InitialWeights(contract), theirs = ours;
  std::printf("step,alpha,loss,loss_reference,moved,moved_reference,moved_unseen\n");
  for (uint32_t step = 0; step < steps; ++step) {
    HATCHERY_ASSIGN_OR_RETURN(const Point a, ReplicaStep(spec, step, *replica));
    const Point b = OracleStep(spec, reference, step, train, theirs);
    std::printf("%u,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f\n", step, oracle::Alpha(contract, step) / 65536.0,
                a.loss, b.loss, a.moved, b.moved, a.moved_unseen);
    std::fflush(stdout);
    if (step >= kCheckedSteps) continue;
    OracleStep(spec, contract, step, train, ours);
    HATCHERY_ASSIGN_OR_RETURN(const std::vector<int8_t> weights, replica->Snapshot());
    if (weights != ours) return InvalidArgument("backend and oracle differ at this step");
  }
  return {};
}

}  // namespace
}  // namespace hatchery

namespace {

constexpr char kUsage[] =
    "usage: parity TEXT [STEPS] [WINDOW]\n"
    "Trains one small model by the contract and by the reference's arithmetic; prints a line a "
    "step.\n"
    "  TEXT    the file to train on, its first nine tenths\n"
    "  STEPS   100 unless given\n"
    "  WINDOW  scored bytes a member and step, 16 unless given\n"
    "  --help, --version\n";

int Main(int argc, char** argv) {
  const std::string first = argc < 2 ? "" : argv[1];
  if (first == "--version" || first == "--help") {
    std::printf("%s", first == "--help" ? kUsage : "parity " HATCHERY_VERSION "\n");
    return 0;
  }
  std::ifstream file(first, std::ios::binary);
  if (first.empty() || !file) {
    std::fprintf(stderr, "parity: cannot read the text '%s'; --help tells what can be given\n",
                 first.c_str());
    return 2;
  }
  oracle::Bytes text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  text.resize(text.size() / 10 * 9);
  const auto number = [&](int i, int otherwise) {
    return static_cast<uint32_t>(argc > i ? std::atoi(argv[i]) : otherwise);
  };
  const hatchery::Status status = hatchery::Run(text, number(2, 100), number(3, 16));
  if (!status.ok()) std::fprintf(stderr, "parity: %s\n", status.message().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return hatchery::GuardedMain("parity", [&] { return Main(argc, argv); });
}
